/* How the camera is connected: ESP32-S3-EYE. For another board put its pins here; its documentation lists them. */
#ifndef CAMERA_PINS_H
#define CAMERA_PINS_H

#define CAMERA_PINS                                                                                                    \
    .pin_pwdn = -1, .pin_reset = -1, .pin_xclk = 15, .pin_sccb_sda = 4, .pin_sccb_scl = 5, .pin_d7 = 16, .pin_d6 = 17, \
    .pin_d5 = 18, .pin_d4 = 12, .pin_d3 = 10, .pin_d2 = 8, .pin_d1 = 9, .pin_d0 = 11, .pin_vsync = 6, .pin_href = 7,   \
    .pin_pclk = 13

#endif
