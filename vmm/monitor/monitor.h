/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients of the control socket can do with a machine: QMP's commands, by QEMU's names and with
 * QEMU's meanings, and ebb's own (control/README.md lists them). monitor.c has the machine's life,
 * monitor_memory.c its memory and its balloon, monitor_reclaim.c what the guest gives back when asked,
 * monitor_disks.c its disks.
 *
 * Thread: main.
 */
#ifndef EBB_MONITOR_H
#define EBB_MONITOR_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "vmm/control/server.h"
#include "vmm/lib/loop.h"

struct machine;

struct monitor {
	struct machine *machine;
	struct control_server *server;
	struct timespec started;
	bool paused;
	struct loop_source balloon_changed; /* eventfd: the driver wrote `actual` */
	struct loop_source stats_timer;	    /* timerfd: guest-stats-polling-interval */
	unsigned int stats_interval;	    /* seconds; 0: only when asked */
	struct loop_source reclaimed;	    /* eventfd: the balloon's request is over */
	struct loop_source reclaim_timer;   /* timerfd: its deadline */
	uint64_t reclaim;		    /* the command that it is for, or 0 */
	uint64_t reclaim_before;	    /* guest RAM in host memory when it was asked, bytes */
};

/* The socket of the machine's name, served on its loop. Returns 0 or -errno having said why. */
int monitor_init(struct monitor *monitor, struct machine *machine);
void monitor_release(struct monitor *monitor);

/* Tells the clients why the machine ended. */
void monitor_ended(struct monitor *monitor);

/* balloon_config.changed: any thread. */
void monitor_balloon_changed(void *monitor);
/* balloon_config.reclaimed: likewise. */
void monitor_reclaimed(void *monitor);

/* --- between monitor.c and its others: control_command.run of a struct monitor -------------- */

/* Whether the caller forgot or misspelt: NULL and *@error filled in, where @arguments has no integer @name. */
const json_t *monitor_integer(const json_t *arguments, const char *name,
			      struct control_error *error);

json_t *monitor_query_balloon(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_balloon(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_qom_list(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_qom_get(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_qom_set(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_query_block(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_query_blockstats(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_stat(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_reclaim(void *ctx, const json_t *arguments, struct control_error *error);
json_t *monitor_stats_request(void *ctx, const json_t *arguments, struct control_error *error);

/* The eventfd and the timer of each. */
int monitor_memory_init(struct monitor *monitor);
void monitor_memory_release(struct monitor *monitor);
int monitor_reclaim_init(struct monitor *monitor);
void monitor_reclaim_release(struct monitor *monitor);
/* Nobody will answer any more: whoever waits is told so. */
void monitor_reclaim_ended(struct monitor *monitor);

/* The disks' part of x-ebb-stat. */
struct disks;
json_t *monitor_disks_list(const struct disks *disks);

/* The guest's balloon, or NULL and *@error filled in where it was started without. */
struct balloon;
struct balloon *monitor_balloon_here(struct monitor *monitor, struct control_error *error);

/* QMP's RunState, as query-status has it. */
const char *monitor_status(const struct monitor *monitor);

#endif
