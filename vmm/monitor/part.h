/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of the monitor: commands on one subject, with the state that they share. To add one: a
 * file beside this one with a struct monitor_part, its declaration below, a row in monitor.c.
 *
 * Thread: main, but the monitor's worker for measure().
 */
#ifndef EBB_MONITOR_PART_H
#define EBB_MONITOR_PART_H

#include <jansson.h>

#include "vmm/monitor/monitor.h"

/* Every member but the name may be left out. */
struct monitor_part {
	const char *name;
	/* The last element has a NULL name. The ctx of each run() is the struct monitor. */
	const struct control_command *commands;
	size_t state_size; /* bytes, zeroed before init(); see monitor_state() */
	/* Returns 0, or -errno after an error message. release() is called in both cases. */
	int (*init)(struct monitor *monitor);
	/* Called after the machine has ended: answers the waiting clients, reports why it ended. */
	void (*ended)(struct monitor *monitor, enum machine_end end);
	void (*release)(struct monitor *monitor);
	/*
	 * Measures figures that can take the host long, such as the memory of the guest, and keeps
	 * them in the part's state for figures(). Runs on the worker, never while figures() runs.
	 */
	void (*measure)(struct monitor *monitor);
	/* Adds the part's members to the answer of x-ebb-stat. */
	void (*figures)(struct monitor *monitor, json_t *stat);
};

extern const struct monitor_part monitor_life, monitor_debug, monitor_memory, monitor_balloon,
	monitor_lease, monitor_reclaim, monitor_disks, monitor_pmem, monitor_networks, monitor_qom,
	monitor_snapshot, monitor_stat, monitor_vsock, monitor_console;

/* All of them: the table in monitor.c. */
extern const struct monitor_part *const monitor_parts[];
extern const size_t monitor_parts_count;

/* Returns the state of @part, or NULL if it has none. */
void *monitor_state(const struct monitor *monitor, const struct monitor_part *part);

/* Calls figures() of all parts, in the order of the table. */
void monitor_figures(struct monitor *monitor, json_t *stat);

/* Calls measure() of all parts. Thread: the worker of struct measure. */
void monitor_measure_parts(struct monitor *monitor);

/* Sends an event to all clients. Takes over @data; NULL: none. */
void monitor_event(struct monitor *monitor, const char *name, json_t *data);

/*
 * For a command's run(): starts measure() of all parts, and when they are done calls @answer, which
 * answers the command. Returns NULL, with *@error set if it fails.
 */
json_t *monitor_answer_measured(struct monitor *monitor,
				void (*answer)(struct monitor *monitor, uint64_t command),
				struct control_error *error);
/* Answers a deferred command. Takes over @result; NULL: memory is short. */
void monitor_answer(struct monitor *monitor, uint64_t command, json_t *result);

/* --- arguments -------------------------------------------------------------------------------- */

/* Returns the integer argument @name, or NULL with *@error set if missing or not an integer. */
const json_t *monitor_integer(const json_t *arguments, const char *name,
			      struct control_error *error);

/* --- between parts ---------------------------------------------------------------------------- */

/* Returns QMP's RunState for query-status. */
const char *monitor_status(const struct monitor *monitor);

/* Pause and resume the guest, unless it is so already, with QMP's events. Return whether they did. */
bool monitor_pause(struct monitor *monitor);
bool monitor_resume(struct monitor *monitor);

/* Returns the guest's balloon, or NULL with *@error set if the guest was started without one. */
struct balloon *monitor_balloon_here(const struct monitor *monitor, struct control_error *error);

/* Ends what x-ebb-balloon leased, if anything. */
void monitor_end_lease(struct monitor *monitor);
/* Forgets it; the target is the caller's to set. Needs a balloon. */
void monitor_drop_lease(struct monitor *monitor);

/* Returns the guest's statistics as a new object; with @absent_too, absent ones are -1. */
struct balloon_stats;
json_t *monitor_stats_object(const struct balloon_stats *stats, bool absent_too);

/* Asks the guest for its statistics now and every @seconds; 0: never. Returns 0 or -errno. */
int monitor_poll_stats(struct monitor *monitor, unsigned int seconds);
unsigned int monitor_poll_interval(const struct monitor *monitor);

/* Returns what guest memory costs the host, as last measured. */
struct ram_usage;
const struct ram_usage *monitor_usage(const struct monitor *monitor);
/* Returns guest RAM in host memory, in bytes, as last measured. */
uint64_t monitor_resident(const struct monitor *monitor);

#endif
