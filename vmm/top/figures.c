// SPDX-License-Identifier: Apache-2.0
#include "vmm/top/figures.h"

#include <stdio.h>
#include <string.h>

#include "vmm/control/guest_figures.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/sizes.h"

#define FRESH_NS (10 * NS_PER_S) /* older statistics of a running guest are not shown */
#define SPAN_MIN NS_PER_MS	 /* a rate is of no shorter time */

#define REST_NS	     (5 * NS_PER_S) /* a guest that rests is asked so often, */
#define REST_EARLY   (NS_PER_S / 4) /* or in a frame that comes so much earlier */
#define REST_CPU     10		    /* of 1000: no more than it takes to be idle, and to be asked */
#define REST_RAN     (10 * NS_PER_MS) /* since its last answer, likewise */
#define REST_SAMPLES 3		      /* until then not all rates are known */

#define AGES_UNKNOWN                                                                               \
	{                                                                                          \
		{                                                                                  \
			TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN            \
		}                                                                                  \
	}

/* --- names ----------------------------------------------------------------------------------- */

/* A terminal must count as many columns as we do: what is not printable ASCII becomes \xNN. */
static void to_ascii(char *out, size_t size, const char *text)
{
	size_t used = 0;
	for (; *text && used + 5 <= size; text++) {
		unsigned char c = (unsigned char)*text;
		if (c >= ' ' && c < 0x7f)
			out[used++] = (char)c;
		else
			used += (size_t)snprintf(out + used, size - used, "\\x%02x", c);
	}
	out[used] = '\0';
}

void top_figures_init(struct top_figures *figures, const char *name, pid_t pid)
{
	*figures = (struct top_figures){
		.pid = pid,
		.now = {.cpus = TOP_UNKNOWN,
			.size = TOP_UNKNOWN,
			.resident = TOP_UNKNOWN,
			.own = TOP_UNKNOWN,
			.balloon = TOP_UNKNOWN,
			.target = TOP_UNKNOWN,
			.free = TOP_UNKNOWN,
			.caches = TOP_UNKNOWN,
			.ages = {AGES_UNKNOWN, AGES_UNKNOWN},
			.cpu = TOP_UNKNOWN,
			.reported = TOP_UNKNOWN,
			.stalls = TOP_UNKNOWN,
			.stalled = TOP_UNKNOWN,
			.disk = TOP_UNKNOWN,
			.network = TOP_UNKNOWN},
		.used = TOP_UNKNOWN,
		.excess = TOP_UNKNOWN,
		.ages = {AGES_UNKNOWN, AGES_UNKNOWN},
		.both = AGES_UNKNOWN,
		.cpu = TOP_UNKNOWN,
		.reported = TOP_UNKNOWN,
		.stalls = TOP_UNKNOWN,
		.psi = TOP_UNKNOWN,
		.disk = TOP_UNKNOWN,
		.network = TOP_UNKNOWN,
	};
	snprintf(figures->name, sizeof(figures->name), "%s", name);
	to_ascii(figures->shown, sizeof(figures->shown), figures->name);
}

/* --- one answer ------------------------------------------------------------------------------ */

uint64_t top_sum(uint64_t a, uint64_t b)
{
	a = a == TOP_UNKNOWN ? 0 : a;
	b = b == TOP_UNKNOWN ? 0 : b;
	return a > TOP_UNKNOWN - 1 - b ? TOP_UNKNOWN - 1 : a + b;
}

/* Returns the sum of two figures of all objects of a list; TOP_UNKNOWN if there are none. */
static uint64_t sum_list(const json_t *stat, const char *list, const char *one, const char *other)
{
	const json_t *objects = json_object_get(stat, list);
	uint64_t sum = 0;
	for (size_t i = 0; i < json_array_size(objects); i++) {
		const json_t *object = json_array_get(objects, i);
		sum = top_sum(sum, guest_stat_number(object, one, 0));
		sum = top_sum(sum, guest_stat_number(object, other, 0));
	}
	return json_array_size(objects) ? sum : TOP_UNKNOWN;
}

static uint64_t figure(const json_t *stat, const char *path)
{
	return guest_stat_number(stat, path, TOP_UNKNOWN);
}

/* @kind is "anon" or "file". Kernels without our patches tell nothing of it. */
static struct top_ages read_ages(const json_t *stat, const char *kind)
{
	static const char *const suffix[TOP_AGE_COUNT] = {
		[TOP_ALL] = "",		[TOP_10S] = "-10s", [TOP_1MIN] = "-1min",
		[TOP_10MIN] = "-10min", [TOP_1H] = "-1h",
	};
	struct top_ages ages;
	char path[96];
	for (int age = 0; age < TOP_AGE_COUNT; age++) {
		snprintf(path, sizeof(path), FIGURE_STATS "/stat-ebb-%s%s", kind, suffix[age]);
		ages.bytes[age] = figure(stat, path);
	}
	return ages;
}

struct top_sample top_sample_of(const json_t *stat, uint64_t now)
{
	struct top_sample sample = {
		.at = now,
		.cpus = figure(stat, "cpus"),
		.size = figure(stat, "memory/size"),
		.resident = figure(stat, "memory/rss"),
		.own = guest_stat_own(stat, TOP_UNKNOWN),
		.balloon = figure(stat, "balloon/actual"),
		.target = figure(stat, "balloon/target"),
		.free = figure(stat, FIGURE_STATS "/stat-free-memory"),
		.caches = figure(stat, FIGURE_STATS "/stat-disk-caches"),
		.ages = {[TOP_PROGRAMS] = read_ages(stat, "anon"),
			 [TOP_FILES] = read_ages(stat, "file")},
		.updates = guest_stat_number(stat, "guest-stats/updates", 0),
		.cpu = TOP_UNKNOWN,
		.reported = figure(stat, "reporting/bytes"),
		.stalls = figure(stat, FIGURE_STATS "/stat-alloc-stalls"),
		.stalled = figure(stat, FIGURE_STATS "/stat-ebb-stall-some"),
		.disk = sum_list(stat, "disks", "read-bytes", "written-bytes"),
		.network = sum_list(stat, "networks", "received-bytes", "sent-bytes"),
	};
	to_ascii(sample.status, sizeof(sample.status), guest_stat_text(stat, "status"));
	return sample;
}

/* --- two answers ----------------------------------------------------------------------------- */

/* Returns by how much a counter grew in a second, @scale times; a counter may start anew. */
static uint64_t rate(uint64_t before, uint64_t now, uint64_t span, uint64_t scale)
{
	if (before == TOP_UNKNOWN || now == TOP_UNKNOWN || now < before || span < SPAN_MIN)
		return TOP_UNKNOWN;
	double grown = (double)(now - before) * (double)scale / (double)span;
	return grown >= (double)INT64_MAX ? INT64_MAX : (uint64_t)(grown + 0.5);
}

/* A guest that does not send statistics any more may have done anything since, but if it is paused. */
static bool is_told(const struct top_figures *figures)
{
	const struct top_sample *now = &figures->now;
	bool fresh = now->at - figures->told_at <= FRESH_NS || strcmp(now->status, "running") != 0;
	return now->updates && fresh && now->free != TOP_UNKNOWN && now->size != TOP_UNKNOWN;
}

/* It grows while the guest's own clock does, and is read a little after the request: no more than all of the time. */
static uint64_t share_stalled(uint64_t before, uint64_t now, uint64_t span)
{
	uint64_t share = rate(before, now, span, UINT64_C(1000) * 1000);
	return share == TOP_UNKNOWN ? share : min(share, 1000);
}

/* What a guest counts is as old as its statistics: it grew between the requests for them, whenever they were looked at. */
static void judge_waits(struct top_figures *figures, const struct top_sample *before)
{
	const struct top_sample *now = &figures->now;
	uint64_t since = before->asked ? less(now->asked, before->asked) : 0;
	figures->stalls = rate(before->stalls, now->stalls, since, NS_PER_S);
	figures->psi = share_stalled(before->stalled, now->stalled, since);
}

static void judge_memory(struct top_figures *figures)
{
	const struct top_sample *now = &figures->now;
	figures->used = figures->excess = TOP_UNKNOWN;
	if (!is_told(figures))
		return;
	uint64_t unused = top_sum(now->free, now->balloon);
	figures->used = now->size > unused ? now->size - unused : 0;
	/* What clones share is not beyond the use of any of them. */
	if (now->resident != TOP_UNKNOWN)
		figures->excess = min(less(now->resident, figures->used), now->own);
}

/* What is older is a part of what is younger, whatever the guest says. */
static struct top_ages bounded(const struct top_ages *told)
{
	struct top_ages ages = *told;
	for (int age = 0; age < TOP_AGE_COUNT; age++)
		if (told->bytes[age] == TOP_UNKNOWN)
			return (struct top_ages)AGES_UNKNOWN;
	for (int age = 1; age < TOP_AGE_COUNT; age++)
		ages.bytes[age] = min(ages.bytes[age], ages.bytes[age - 1]);
	return ages;
}

static void judge_ages(struct top_figures *figures)
{
	static const struct top_ages unknown = AGES_UNKNOWN;
	for (int kind = 0; kind < TOP_KINDS; kind++)
		figures->ages[kind] =
			is_told(figures) ? bounded(&figures->now.ages[kind]) : unknown;
	const uint64_t *programs = figures->ages[TOP_PROGRAMS].bytes;
	const uint64_t *files = figures->ages[TOP_FILES].bytes;
	figures->both = unknown;
	for (int age = 0; age < TOP_AGE_COUNT && *programs != TOP_UNKNOWN && *files != TOP_UNKNOWN;
	     age++)
		figures->both.bytes[age] = top_sum(programs[age], files[age]);
}

static void record(struct top_figures *figures)
{
	unsigned int at = figures->samples++ % TOP_HISTORY;
	figures->history[TOP_CURVE_HELD][at] = figures->now.own;
	figures->history[TOP_CURVE_USED][at] = figures->used;
	figures->history[TOP_CURVE_REPORTED][at] = figures->reported;
	figures->history[TOP_CURVE_CPU][at] = figures->cpu;
}

void top_figures_take(struct top_figures *figures, const struct top_sample *sample)
{
	const struct top_sample before = figures->now;
	bool rested = figures->rested_at > before.at;
	uint64_t since = rested ? figures->rested_at : before.at;
	uint64_t span = before.at ? sample->at - since : 0;
	figures->now = *sample;
	if (!before.at || sample->updates != before.updates) {
		judge_waits(figures, &before);
		figures->told_at = sample->at;
	} else {
		figures->now.asked = before.asked;
	}
	if (!is_told(figures))
		figures->psi = figures->stalls = TOP_UNKNOWN;
	judge_memory(figures);
	judge_ages(figures);
	/* Nanoseconds in a nanosecond. */
	figures->cpu = rate(rested ? figures->rested_cpu : before.cpu, sample->cpu, span, 1000);
	figures->reported = rate(before.reported, sample->reported, span, NS_PER_S);
	figures->disk = rate(before.disk, sample->disk, span, NS_PER_S);
	figures->network = rate(before.network, sample->network, span, NS_PER_S);
	figures->answers = true;
	record(figures);
}

/* Whether what was told of it changes by itself. */
static bool goes_on(const struct top_figures *figures)
{
	const struct top_sample *now = &figures->now;
	const uint64_t rates[] = {figures->reported, figures->disk, figures->network,
				  figures->stalls, figures->psi};
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		if (rates[i] && rates[i] != TOP_UNKNOWN)
			return true;
	return figures->cpu > REST_CPU || now->balloon != now->target;
}

/* Statistics that are shown were asked for at the look before the last, which may be long ago. */
static bool grows_old(const struct top_figures *figures, uint64_t now)
{
	const struct top_sample *last = &figures->now;
	return figures->used != TOP_UNKNOWN && strcmp(last->status, "running") == 0 &&
	       last->asked && now - last->asked >= FRESH_NS;
}

bool top_figures_rest(struct top_figures *figures, uint64_t cpu, uint64_t now)
{
	const struct top_sample *last = &figures->now;
	if (!figures->answers || figures->samples < REST_SAMPLES || goes_on(figures) ||
	    now - last->at >= REST_NS - REST_EARLY || grows_old(figures, now) ||
	    last->cpu == TOP_UNKNOWN || cpu < last->cpu || cpu - last->cpu > REST_RAN)
		return false;
	figures->rested_at = now;
	figures->rested_cpu = cpu;
	record(figures);
	return true;
}

uint64_t top_history(const struct top_figures *figures, enum top_curve curve, unsigned int back)
{
	unsigned int there = figures->samples < TOP_HISTORY ? figures->samples : TOP_HISTORY;
	if (back >= there)
		return TOP_UNKNOWN;
	return figures->history[curve][(figures->samples - 1 - back) % TOP_HISTORY];
}
