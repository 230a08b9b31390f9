/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What x-ebb-stat answers (vmm/control/README.md), checked, and shown to people and to Prometheus.
 * One table has every figure's place, unit and names.
 *
 * Pure, but for what is printed. Thread: any.
 */
#ifndef EBB_CONTROL_GUEST_STAT_H
#define EBB_CONTROL_GUEST_STAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "vmm/lib/options.h"

/*
 * A new object with those figures of @answer that ebb knows, each of its own type; or NULL having
 * said in @error what is wrong. A peer can answer anything: what is missing is left out, what is of another
 * type or below 0 makes the whole answer wrong. Of the guest's own statistics one below 0 is one
 * that the guest does not have.
 */
json_t *guest_stat_check(const json_t *answer, struct option_error *error);

/* A figure of what guest_stat_check() gave, by its path such as "memory/size"; @otherwise where it
 * is not there. */
uint64_t guest_stat_number(const json_t *stat, const char *path, uint64_t otherwise);
/* Likewise, "" for none. */
const char *guest_stat_text(const json_t *stat, const char *path);

/* A line for each figure, in groups. */
void guest_stat_print(const json_t *stat, FILE *out);

/* The guest's own statistics only, in kvmtool's manner: one sentence and one number each. */
void guest_stat_print_memory(const json_t *stat, FILE *out);

/*
 * @guests: an array of {"name": …, "stat": what guest_stat_check() gave, or null where a guest did
 * not answer}. Prometheus's text format, version 0.0.4.
 * Source: prometheus.io/docs/instrumenting/exposition_formats.
 */
void guest_stat_print_metrics(const json_t *guests, FILE *out);

#endif
