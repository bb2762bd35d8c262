#pragma once
static const float image[4] = {1, 2, 3, 4};
#define MODEL_INPUTS                                                                                                   \
    {                                                                                                                  \
        .image = image                                                                                                 \
    }
