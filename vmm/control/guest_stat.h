/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks the answer to x-ebb-stat (vmm/control/README.md) and prints it for people and for
 * Prometheus. The table in guest_figures.h has each figure's path, unit and names.
 *
 * Pure, except for printing. Thread: any.
 */
#ifndef EBB_CONTROL_GUEST_STAT_H
#define EBB_CONTROL_GUEST_STAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "vmm/lib/options.h"

/*
 * Returns a new object with those figures of @answer that ebb knows, each of its own type; or NULL
 * with @error set. A peer can answer anything: missing figures are left out; a figure of another
 * type or below 0 makes the whole answer wrong. Among the guest's own statistics a value below 0
 * means that the guest does not have this figure.
 */
json_t *guest_stat_check(const json_t *answer, struct option_error *error);

/*
 * Returns a figure of an object from guest_stat_check(), by its path such as "memory/size", or
 * @otherwise.
 */
uint64_t guest_stat_number(const json_t *stat, const char *path, uint64_t otherwise);
/*
 * Returns what the host holds for this guest alone: without pages that clones of one snapshot share, where the guest tells
 * them apart. Or @otherwise.
 */
uint64_t guest_stat_own(const json_t *stat, uint64_t otherwise);
/* Likewise for a text, or "". */
const char *guest_stat_text(const json_t *stat, const char *path);

/* Prints a line for each figure, in groups. */
void guest_stat_print(const json_t *stat, FILE *out);

/* Prints only the guest's own statistics, as kvmtool does: one sentence and one number each. */
void guest_stat_print_memory(const json_t *stat, FILE *out);

/*
 * Prints in Prometheus's text format, version 0.0.4. @guests is an array of {"name": …, "stat": an
 * object from guest_stat_check(), or null for a guest that did not answer}.
 * Source: prometheus.io/docs/instrumenting/exposition_formats.
 */
void guest_stat_print_metrics(const json_t *guests, FILE *out);

#endif
