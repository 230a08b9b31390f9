// SPDX-License-Identifier: Apache-2.0
/* Two CPUs: one reports, the other goes on working beside it. The host's side: test_smp.py */
#include "virtio.h"

#define PAGES  256 /* every second one is reported, the others are the other CPU's */
#define CHAIN  32
#define ROUNDS 8

static struct queue queue;
static struct device dev;
static volatile uint64_t cycles, broken;
static volatile bool stop, stopped;

/* Writes all of its pages and reads them back, again and again, each time with other values. */
static void work_beside(void)
{
	uint64_t area = memory_free();

	for (uint64_t cycle = 1; !stop; cycle++) {
		for (uint64_t gpa = area + PAGE; gpa < area + PAGES * PAGE; gpa += 2 * PAGE)
			for (uint64_t at = gpa; at < gpa + PAGE; at += 256)
				store64(at, at ^ cycle);
		for (uint64_t gpa = area + PAGE; gpa < area + PAGES * PAGE; gpa += 2 * PAGE)
			for (uint64_t at = gpa; at < gpa + PAGE; at += 256)
				if (load64(at) != (at ^ cycle))
					broken = at;
		cycles = cycle;
	}
	stopped = true;
}

static void run_started(void)
{
	stopped = true;
}

static void test_second_cpu(void)
{
	CHECK(cpu1_run(run_started), "the second CPU does not start");
	WAIT_FOR(stopped, "the second CPU does not run");
}

static bool report_page_by_page(uint64_t area)
{
	struct block block[CHAIN];
	uint32_t len;

	for (unsigned int page = 0; page < PAGES; page += 2 * CHAIN) {
		for (unsigned int i = 0; i < CHAIN; i++)
			block[i] = (struct block){area + (page + 2 * i) * PAGE, PAGE};
		if (!report(&dev, &queue, block, CHAIN, &len))
			return false;
		if (len != CHAIN * PAGE) {
			test_fail("used length %x", len);
			return false;
		}
	}
	return true;
}

static void test_beside(void)
{
	uint64_t area = memory_free();

	if (!reporting_start(&dev, &queue))
		return;
	CHECK(cpu1_run(work_beside), "the second CPU does not start");
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int page = 0; page < PAGES; page += 2)
			fill(area + page * PAGE, PAGE);
		if (!report_page_by_page(area))
			return;
		for (unsigned int page = 0; page < PAGES; page += 2)
			CHECK(is_zero(area + page * PAGE, PAGE), "page %u is not zero", page);
		CHECK(!broken, "what the other CPU wrote at %lx is not there", broken);
	}
	uint64_t seen = cycles;
	WAIT_FOR(cycles > seen + 1, "the other CPU stands still");
	stop = true;
	WAIT_FOR(stopped, "the other CPU does not stop");
	CHECK(!broken, "what the other CPU wrote at %lx is not there", broken);
}

const struct test tests[] = {
	{"second-cpu", test_second_cpu},
	{"beside", test_beside},
	{0},
};
