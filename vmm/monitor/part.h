/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of the monitor: commands on one matter, with the state that they share. To add one: a file
 * beside this one with a struct monitor_part, its declaration below, a row in monitor.c.
 *
 * Thread: main, but for measure().
 */
#ifndef EBB_MONITOR_PART_H
#define EBB_MONITOR_PART_H

#include <jansson.h>

#include "vmm/monitor/monitor.h"

/* All but the name may be left out. */
struct monitor_part {
	const char *name;
	/* Ended by a name of NULL. The ctx of their run() is the struct monitor. */
	const struct control_command *commands;
	size_t state_size; /* bytes, zero at first; monitor_state() finds them */
	/* Returns 0 or -errno having said why; release() is due in both cases. */
	int (*init)(struct monitor *monitor);
	/* The machine has ended: tells the clients what they wait for, and why it ended. */
	void (*ended)(struct monitor *monitor, enum machine_end end);
	void (*release)(struct monitor *monitor);
	/*
	 * Looks at what the host may take its time to tell, such as how much memory the guest has, and
	 * keeps it in the part's state for figures(). On the monitor's own worker, never while figures()
	 * runs.
	 */
	void (*measure)(struct monitor *monitor);
	/* Adds the part's members to what x-ebb-stat answers. */
	void (*figures)(struct monitor *monitor, json_t *stat);
};

extern const struct monitor_part monitor_life, monitor_debug, monitor_memory, monitor_balloon,
	monitor_reclaim, monitor_disks, monitor_qom, monitor_stat;

/* The state of a part that is in the table and has some. */
void *monitor_state(const struct monitor *monitor, const struct monitor_part *part);

/* Calls figures() of all parts, in the order of the table. */
void monitor_figures(struct monitor *monitor, json_t *stat);

/* Calls measure() of all parts. The worker of struct measure. */
void monitor_measure_parts(struct monitor *monitor);

/* Sends an event to all clients; @data (NULL: none) becomes the callee's. */
void monitor_event(struct monitor *monitor, const char *name, json_t *data);

/*
 * For a command's run(): has all parts measure, then @answer called, which answers the command. Returns
 * NULL, with *@error set where that cannot be.
 */
json_t *monitor_answer_measured(struct monitor *monitor,
				void (*answer)(struct monitor *monitor, uint64_t command),
				struct control_error *error);
/* Answers a command that was deferred; @result becomes the callee's, and NULL means that memory is out. */
void monitor_answer(struct monitor *monitor, uint64_t command, json_t *result);

/* --- arguments -------------------------------------------------------------------------------- */

/* Returns the integer argument @name, or NULL with *@error set if it is missing or not an integer. */
const json_t *monitor_integer(const json_t *arguments, const char *name,
			      struct control_error *error);

/* --- between parts ---------------------------------------------------------------------------- */

/* QMP's RunState, as query-status has it. */
const char *monitor_status(const struct monitor *monitor);

/* Returns the guest's balloon, or NULL with *@error set where it was started without one. */
struct balloon *monitor_balloon_here(const struct monitor *monitor, struct control_error *error);

/* The guest's statistics as an object; with @absent_too those that it did not tell are -1. */
struct balloon_stats;
json_t *monitor_stats_object(const struct balloon_stats *stats, bool absent_too);

/* Has the guest asked for its statistics every @seconds, 0: never. Returns 0 or -errno. */
int monitor_poll_stats(struct monitor *monitor, unsigned int seconds);
unsigned int monitor_poll_interval(const struct monitor *monitor);

/* Guest RAM in host memory, bytes, as last measured. */
uint64_t monitor_resident(const struct monitor *monitor);

#endif
