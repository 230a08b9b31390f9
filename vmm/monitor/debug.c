// SPDX-License-Identifier: Apache-2.0
/* Debugging a guest: registers, a sysrq key, an NMI. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/device_console.h"
#include "vmm/monitor/part.h"

/*
 * Runs @look with no vCPU in KVM_RUN, where KVM would make other calls on it wait. Returns whether
 * it ran; if not, because the host holds a vCPU up, *@error is set.
 */
static bool while_paused(struct monitor *monitor, void (*look)(struct cpus *cpus, void *ctx),
			 void *ctx, struct control_error *error)
{
	struct cpus *cpus = &monitor->machine->cpus;
	bool outside = cpus_pause(cpus);
	if (outside)
		look(cpus, ctx);
	else
		control_fail(error,
			     "the host holds a vCPU up, in a fault of its memory for example");
	if (!monitor->paused)
		cpus_resume(cpus);
	return outside;
}

static void look_at_registers(struct cpus *cpus, void *ctx)
{
	json_t *list = ctx;
	for (unsigned int i = 0; i < cpus->count; i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		if (!out)
			return;
		arch_vcpu_registers(&cpus->cpu[i].vcpu, out);
		fclose(out);
		json_array_append_new(list, json_pack("{s:i, s:s}", "cpu-index", i, "text", text));
		free(text);
	}
}

static json_t *registers(void *ctx, const json_t *arguments, struct control_error *error)
{
	json_t *list = json_array();
	(void)arguments;
	if (!while_paused(ctx, look_at_registers, list, error)) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:o}", "cpus", list);
}

struct nmi {
	json_int_t cpu; /* -1: all */
	int error;
};

static void send_nmi(struct cpus *cpus, void *ctx)
{
	struct nmi *nmi = ctx;
	for (unsigned int i = 0; i < cpus->count && !nmi->error; i++)
		if (nmi->cpu < 0 || nmi->cpu == i)
			nmi->error = arch_vcpu_nmi(&cpus->cpu[i].vcpu);
}

static json_t *inject_nmi(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	struct nmi nmi = {.cpu = -1};

	if (json_object_get(arguments, "cpu-index")) {
		const json_t *index = monitor_integer(arguments, "cpu-index", error);
		if (!index)
			return NULL;
		nmi.cpu = json_integer_value(index);
		if (nmi.cpu < 0 || nmi.cpu >= monitor->machine->cpus.count)
			return control_fail(error, "there is no vCPU %lld; the last is %u",
					    (long long)nmi.cpu, monitor->machine->cpus.count - 1);
	}
	if (!while_paused(monitor, send_nmi, &nmi, error))
		return NULL;
	if (nmi.error == -EOPNOTSUPP)
		return control_fail(error, "a guest on %s has no NMI; send a sysrq key instead",
				    arch_map.name);
	if (nmi.error)
		return control_fail(error, "KVM cannot inject an NMI: %s", strerror(-nmi.error));
	return json_object();
}

/* On the console that the guest has. */
static int press(struct machine *machine, char key)
{
	struct vcon *vcon = machine_vcon(machine);

	return vcon ? vcon_sysrq(vcon, (uint8_t)key) : serial_break(&machine->serial, (uint8_t)key);
}

static json_t *sysrq(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct monitor *monitor = ctx;
	const char *key = json_string_value(json_object_get(arguments, "key"));

	if (!key || strlen(key) != 1)
		return control_fail(error, "Parameter 'key' must be one character");
	if (press(monitor->machine, *key))
		return control_fail(error, "the guest does not read its console (yet)");
	return json_object();
}

static const struct control_command commands[] = {
	{"inject-nmi", CONTROL_ACTS, inject_nmi},
	/* It stops the vCPUs for a moment, and shows what the guest computes. */
	{"x-ebb-registers", CONTROL_ACTS, registers},
	{"x-ebb-sysrq", CONTROL_ACTS, sysrq},
	{},
};

const struct monitor_part monitor_debug = {.name = "debug", .commands = commands};
