// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/admit.h"

#include <errno.h>
#include <string.h>

#include "vmm/control/call.h"
#include "vmm/control/guest_stat.h"
#include "vmm/control/runtime.h"
#include "vmm/keeper/keeper.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

#define PATIENCE_MS 1000

static int ask(struct control_call *call, struct loop *loop, uint64_t size)
{
	int64_t end = clock_ms() + PATIENCE_MS;
	int err = control_call_wait_until(call, loop, end);
	if (err)
		return err;
	control_call_start(call, KEEPER_ADMIT, json_pack("{s:o}", "size", json_count(size)),
			   PATIENCE_MS);
	return control_call_wait_until(call, loop, end);
}

/* Returns what admit_guest() does. */
static int judge(const json_t *reply, uint64_t size, bool strict)
{
	char wanted[TEXT_SIZE_MAX], available[TEXT_SIZE_MAX], reclaimable[TEXT_SIZE_MAX];
	const char *fit = json_string_value(json_object_get(reply, "fit"));
	bool fits_not = fit && strcmp(fit, "no") == 0;
	text_size(wanted, size);
	text_size(available, guest_stat_number(reply, "available", 0));
	text_size(reclaimable, guest_stat_number(reply, "reclaimable", 0));
	if (fits_not && strict)
		log_error(
			"the guest's %s would not fit: the host has %s, and other guests could give back %s; give it less by -m, or leave out --admit",
			wanted, available, reclaimable);
	else if (fits_not)
		log_warn(
			"the host could not hold the guest's %s if it used all of it: %s are available, and other guests could give back %s",
			wanted, available, reclaimable);
	else if (fit && strcmp(fit, "reclaim") == 0)
		log_warn(
			"the host could hold the guest's %s, if it used all of it, only once other guests gave memory back: %s are available",
			wanted, available);
	return fits_not && strict ? -ENOMEM : 0;
}

int admit_guest(const struct vm_config *config)
{
	struct loop loop;
	struct control_call call;
	uint64_t size = config->memory.size - config->balloon.size;
	if (config->memory.admit == VM_ADMIT_OFF || loop_init(&loop) != 0)
		return 0;
	control_call_open(&call, &loop, RUNTIME_KEEPER);
	int err = ask(&call, &loop, size);
	int result = err ? 0 : judge(call.reply, size, config->memory.admit == VM_ADMIT_STRICT);
	if (err && err != -ENOENT)
		log_warn("the keeper does not say whether the guest fits: %s",
			 err == -EREMOTEIO ? "it refuses" : strerror(-err));
	control_call_close(&call);
	loop_release(&loop);
	return result;
}
