"""Stand-ins for the drivers of the camera and the microphone: what the applications use, by their documentation."""

from pathlib import Path

# {component: {file: text}}
DRIVERS = {
    "esp32-camera": {
        "include/esp_camera.h": """\
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "esp_err.h"
enum { LEDC_TIMER_0, LEDC_CHANNEL_0 = 0, PIXFORMAT_RGB565 = 0, FRAMESIZE_QQVGA = 1, FRAMESIZE_QVGA = 5 };
enum { CAMERA_FB_IN_DRAM = 1, CAMERA_GRAB_WHEN_EMPTY = 0 };
typedef struct {
    int pin_pwdn, pin_reset, pin_xclk, pin_sccb_sda, pin_sccb_scl, pin_d7, pin_d6, pin_d5, pin_d4, pin_d3, pin_d2;
    int pin_d1, pin_d0, pin_vsync, pin_href, pin_pclk, xclk_freq_hz, ledc_timer, ledc_channel, pixel_format;
    int frame_size, jpeg_quality;
    size_t fb_count;
    int fb_location, grab_mode, sccb_i2c_port;
} camera_config_t;
typedef struct { uint8_t *buf; size_t len, width, height; } camera_fb_t;
esp_err_t esp_camera_init(const camera_config_t *config);
camera_fb_t *esp_camera_fb_get(void);
void esp_camera_fb_return(camera_fb_t *frame);
""",
    },
    "esp_driver_gpio": {
        "include/driver/gpio.h": "#pragma once\ntypedef enum { GPIO_NUM_NC = -1, GPIO_NUM_2 = 2, GPIO_NUM_41 = 41, "
        "GPIO_NUM_42 } gpio_num_t;\n",
    },
    "esp_driver_i2s": {
        "include/driver/i2s_std.h": """\
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "driver/gpio.h"
#include "esp_err.h"
#define I2S_GPIO_UNUSED GPIO_NUM_NC
enum { I2S_NUM_AUTO = -1, I2S_ROLE_MASTER = 0, I2S_DATA_BIT_WIDTH_32BIT = 32, I2S_SLOT_MODE_MONO = 1 };
typedef struct i2s_channel_obj_t *i2s_chan_handle_t;
typedef struct { int id, role; } i2s_chan_config_t;
typedef struct { uint32_t sample_rate_hz; } i2s_std_clk_config_t;
typedef struct { int data_bit_width, slot_mode; } i2s_std_slot_config_t;
typedef struct { gpio_num_t mclk, bclk, ws, dout, din; } i2s_std_gpio_config_t;
typedef struct {
    i2s_std_clk_config_t clk_cfg;
    i2s_std_slot_config_t slot_cfg;
    i2s_std_gpio_config_t gpio_cfg;
} i2s_std_config_t;
#define I2S_CHANNEL_DEFAULT_CONFIG(i2s_num, i2s_role) { .id = i2s_num, .role = i2s_role }
#define I2S_STD_CLK_DEFAULT_CONFIG(rate) { .sample_rate_hz = rate }
#define I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(bits, mode) { .data_bit_width = bits, .slot_mode = mode }
esp_err_t i2s_new_channel(const i2s_chan_config_t *config, i2s_chan_handle_t *tx, i2s_chan_handle_t *rx);
esp_err_t i2s_channel_init_std_mode(i2s_chan_handle_t handle, const i2s_std_config_t *config);
esp_err_t i2s_channel_enable(i2s_chan_handle_t handle);
esp_err_t i2s_channel_read(i2s_chan_handle_t handle, void *to, size_t size, size_t *bytes_read, uint32_t timeout_ms);
""",
    },
}


def add_drivers(project: Path, newer: bool = True) -> None:
    """Put the drivers into the components of a project. newer: as ESP-IDF 5.3 has them, in components of their own."""
    for component, files in DRIVERS.items():
        for name, text in files.items():
            file = project / "components" / (component if newer else "driver") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    for folder in (project / "components").iterdir():
        if not (folder / "CMakeLists.txt").exists():
            (folder / "empty.c").write_text("typedef int nothing_t;\n")
            requires = " REQUIRES esp_driver_gpio" if folder.name == "esp_driver_i2s" else ""
            text = f'idf_component_register(SRCS "empty.c" INCLUDE_DIRS "include"{requires})\n'
            (folder / "CMakeLists.txt").write_text(text)
