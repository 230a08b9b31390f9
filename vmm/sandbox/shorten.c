// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/shorten.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LOAD	(BPF_LD | BPF_W | BPF_ABS)
#define AND	(BPF_ALU | BPF_AND | BPF_K)
#define IS	(BPF_JMP | BPF_JEQ | BPF_K)
#define NOWHERE UINT32_MAX

static bool is(const struct sock_filter *step, unsigned int code, uint32_t k)
{
	return step->code == code && step->k == k;
}

/* Whether three steps do nothing: what they load is loaded over by the fourth. */
static bool is_idle(const struct sock_filter *step)
{
	return step[0].code == LOAD && is(&step[1], AND, 0) && is(&step[2], IS, 0) &&
	       step[2].jt == 0 && step[3].code == LOAD;
}

/* Returns where the numbers of calls are compared from, or NOWHERE: after the last time that the number is loaded. */
static uint32_t first_comparison(const struct sock_filter *step, unsigned int steps)
{
	for (unsigned int i = steps; i > 0; i--)
		if (is(&step[i - 1], LOAD, offsetof(struct seccomp_data, nr)))
			return i;
	return NOWHERE;
}

/*
 * Returns the step that comes after the one that finds the call @number, or NOWHERE. Arguments are compared, too: only what is
 * reached from step @from before anything else is loaded is about the number.
 */
static uint32_t after_call(const struct sock_filter *step, unsigned int steps, uint32_t from,
			   int number)
{
	bool is_about[SHORTEN_STEPS_MAX + UINT8_MAX + 1] = {false};

	if (from == NOWHERE)
		return NOWHERE;
	is_about[from] = true;
	for (uint32_t i = from; i < steps; i++) {
		if (!is_about[i] || BPF_CLASS(step[i].code) != BPF_JMP)
			continue;
		if (is(&step[i], IS, (uint32_t)number))
			return i + 1 + step[i].jt;
		is_about[i + 1 + step[i].jt] = is_about[i + 1 + step[i].jf] = true;
	}
	return NOWHERE;
}

/* Writes @distance. Returns whether there is room for it. */
static bool set(uint8_t *jump, uint32_t distance)
{
	*jump = (uint8_t)distance;
	return distance <= UINT8_MAX;
}

struct plan {
	uint32_t at[SHORTEN_STEPS_MAX +
		    1]; /* where each goes; one that is left out: where the next goes */
	bool is_left[SHORTEN_STEPS_MAX];
	uint32_t insert, target; /* where one is added, and to where that jumps, or NOWHERE */
};

static void find_places(struct plan *plan, const struct sock_filter *step, unsigned int steps)
{
	unsigned int idle = 0;
	uint32_t end = 0;

	for (unsigned int i = 0; i < steps; i++) {
		if (!idle && i + 3 < steps && is_idle(&step[i]))
			idle = 3;
		plan->is_left[i] = !idle;
		idle -= idle > 0;
		end += i == plan->insert;
		plan->at[i] = end;
		end += plan->is_left[i];
	}
	plan->at[steps] = end;
}

/* Has step @i of the program jump to where its targets go. Returns whether it can. */
static bool aim(const struct plan *plan, unsigned int i, unsigned int steps,
		struct sock_filter *one)
{
	uint32_t here = plan->at[i] + 1, yes = i + 1 + one->jt, no = i + 1 + one->jf;

	return BPF_CLASS(one->code) != BPF_JMP ||
	       (BPF_OP(one->code) != BPF_JA && yes < steps && no < steps &&
		set(&one->jt, plan->at[yes] - here) && set(&one->jf, plan->at[no] - here));
}

int shorten(struct sock_filter *step, unsigned int steps, int first)
{
	struct plan plan = {.insert = NOWHERE, .target = NOWHERE};
	struct sock_filter out[SHORTEN_STEPS_MAX + 1];
	bool good = steps <= SHORTEN_STEPS_MAX;

	if (good && first != SHORTEN_NONE) {
		plan.insert = first_comparison(step, steps);
		plan.target = after_call(step, steps, plan.insert, first);
		good = plan.target < steps;
	}
	if (!good)
		return -EINVAL;
	find_places(&plan, step, steps);
	for (unsigned int i = 0; i < steps && good; i++) {
		struct sock_filter one = step[i];
		if (!plan.is_left[i])
			continue;
		good = aim(&plan, i, steps, &one);
		out[plan.at[i]] = one;
	}
	if (good && plan.insert != NOWHERE) {
		uint32_t next = plan.at[plan.insert];
		struct sock_filter *one = &out[next - 1];
		*one = (struct sock_filter){IS, 0, 0, (uint32_t)first};
		good = set(&one->jt, plan.at[plan.target] - next);
	}
	if (!good)
		return -EINVAL;
	memcpy(step, out, plan.at[steps] * sizeof(*step));
	return (int)plan.at[steps];
}
