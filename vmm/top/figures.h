/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of one guest that `ebb top` shows: what its ebb says of it, and from two such answers
 * what happened in a second. A guest's ebb may answer anything: nothing here overflows.
 *
 * Pure. Sizes in bytes. Owner: the caller. Thread: its owner's.
 */
#ifndef EBB_TOP_FIGURES_H
#define EBB_TOP_FIGURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/lib/guest_name.h"

#define TOP_HISTORY	240 /* samples that a guest's curves are drawn of */
#define TOP_UNKNOWN	UINT64_MAX
#define TOP_STATUS_SIZE 24

enum top_kind { TOP_PROGRAMS, TOP_FILES, TOP_KINDS };

/* Memory in the guest of one kind: all; and of it what was not used for 10 s, a minute, 10 minutes, an hour. */
enum top_age { TOP_ALL, TOP_10S, TOP_1MIN, TOP_10MIN, TOP_1H, TOP_AGE_COUNT };

struct top_ages {
	uint64_t bytes[TOP_AGE_COUNT];
};

/* One answer. TOP_UNKNOWN: the guest has no such figure. */
struct top_sample {
	uint64_t at; /* ns of clock_ns(); 0: there is none */
	char status[TOP_STATUS_SIZE];
	uint64_t cpus, size, balloon, target;
	uint64_t resident, own; /* in host memory; of that for this guest alone */
	uint64_t free, caches;	/* by the guest's own statistics */
	struct top_ages ages[TOP_KINDS];
	uint64_t updates; /* statistics that it sent */
	uint64_t asked;	  /* ns: when for the newest, by the caller; 0: unknown */
	/* Counters. */
	uint64_t cpu; /* ns of the host's CPUs, which the caller fills in */
	uint64_t reported, stalls, disk, network;
	uint64_t stalled; /* µs in which some task in the guest waited for memory (PSI) */
};

enum top_curve { TOP_CURVE_HELD, TOP_CURVE_USED, TOP_CURVE_REPORTED, TOP_CURVE_CPU, TOP_CURVES };

/* A guest. Until it has answered, all its figures are TOP_UNKNOWN. */
struct top_figures {
	char name[VM_NAME_MAX + 1];
	char shown[4 * VM_NAME_MAX + 1]; /* the name in printable ASCII */
	pid_t pid;			 /* 0: unknown */
	bool answers;			 /* the last time that it was asked */
	struct top_sample now;
	uint64_t told_at; /* ns: when its statistics were new */
	/* ns: the last frame in which it was not asked, and its CPU time then. */
	uint64_t rested_at, rested_cpu;
	/* Made of these; TOP_UNKNOWN if what is needed is. */
	uint64_t used, excess;
	struct top_ages ages[TOP_KINDS];  /* each no more than the one before, or all unknown */
	struct top_ages both;		  /* added up */
	uint64_t cpu;			  /* 1/1000 of one CPU */
	uint64_t reported, disk, network; /* in a second */
	/* Of the time between the requests for its last two statistics: */
	uint64_t stalls; /* in a second */
	uint64_t psi;	 /* 1/1000 of it some task waited for memory */

	uint64_t history[TOP_CURVES][TOP_HISTORY]; /* a ring */
	unsigned int samples;			   /* that were ever put into it */
};

/* Begins with a guest that has not answered yet. @name may be any bytes. */
void top_figures_init(struct top_figures *figures, const char *name, pid_t pid);

/* Returns the figures of an answer that guest_stat_check() has passed, without the CPU's time. */
struct top_sample top_sample_of(const json_t *stat, uint64_t now);

/* Takes a new answer. */
void top_figures_take(struct top_figures *figures, const struct top_sample *sample);

/*
 * Returns whether a guest need not be asked in a frame: for a while if its last answer told of nothing that goes on, and
 * its process has hardly had a CPU since, of which @cpu is the time now. Its curves go on as they are.
 */
bool top_figures_rest(struct top_figures *figures, uint64_t cpu, uint64_t now);

/* Returns sample @back of a curve, 0 the newest, or TOP_UNKNOWN. */
uint64_t top_history(const struct top_figures *figures, enum top_curve curve, unsigned int back);

/* Returns @a + @b; TOP_UNKNOWN counts as nothing, and what is too large becomes TOP_UNKNOWN - 1. */
uint64_t top_sum(uint64_t a, uint64_t b);

#endif
