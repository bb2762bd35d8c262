/*
 * Two cores: a part of a kernel's output is computed on the other core, while the caller computes the rest.
 *
 * Generated code of a model that was exported for two cores does this:
 *
 *     const esp_dl_part_t second = {.run = compute_the_second_half, .input = ..., .output = ...};
 *     esp_dl_begin_part(&second);
 *     ... the first half ...
 *     esp_dl_finish_part(&second);
 *
 * Under ESP-IDF on a chip with two cores, a task pinned to the other core computes the part, with its own static memory
 * and without the heap; on a computer, a thread does. With only one core (ESP-IDF's FREERTOS_UNICORE, emulators without
 * an operating system) esp_dl_begin_part computes the part immediately: the same bytes in twice the time.
 *
 * Only one part is computed at a time. If a second task runs a model meanwhile, it computes both parts itself. Unlike
 * kernels this code keeps state, in static memory.
 */
#ifndef ESP_DL_CORES_H
#define ESP_DL_CORES_H

#ifdef __cplusplus
extern "C" {
#endif

/* Part of a kernel's output. Both parts read the same input and write separate outputs. */
typedef struct esp_dl_part {
    void (*run)(const struct esp_dl_part *part);
    const void *input;
    const void *addend; /* if an addition is fused */
    void *scratch;      /* of this part alone */
    void *output;       /* where the part's output starts */
} esp_dl_part_t;

/* Starts the task (thread) that computes parts, on another core than the caller's; otherwise the first part starts it.
 */
void esp_dl_start_cores(void);

/* Lets the other core compute a part. Not in an interrupt handler. `part` must not change until it is finished. */
void esp_dl_begin_part(const esp_dl_part_t *part);

/* Waits until the part is computed. A part must be finished by the task that began it. */
void esp_dl_finish_part(const esp_dl_part_t *part);

#ifdef __cplusplus
}
#endif

#endif /* ESP_DL_CORES_H */
