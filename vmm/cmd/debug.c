// SPDX-License-Identifier: Apache-2.0
/* ebb debug: looks into a guest that no longer responds. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

#define CPUS_MAX 4096

enum { OPTION_DUMP, OPTION_SYSRQ, OPTION_NMI };

static const struct option options[] = {
	OPTION_NAME_LINE,
	OPTION_ALL_LINE,
	{OPTION_DUMP, 'd', "dump", NULL, "show the registers of its CPUs", false},
	{OPTION_SYSRQ, 's', "sysrq", "KEY", "send the sysrq KEY to its console: t, w, m, ...",
	 false},
	{OPTION_NMI, 'm', "nmi", "CPU", "send a non-maskable interrupt to CPU [every CPU]", true},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb debug", NULL, "Shows registers of a guest, or makes its kernel report on itself.",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	bool dump, nmi;
	const char *key;
	int cpu; /* -1: all */
};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	uint64_t number = 0;
	switch (id) {
	case OPTION_DUMP:
		request->dump = true;
		return 0;
	case OPTION_SYSRQ:
		if (!isgraph((unsigned char)value[0]) || value[1])
			return options_fail(error,
					    "\"%s\" is not a key; write one character, "
					    "such as t",
					    value);
		request->key = value;
		return 0;
	case OPTION_NMI:
		request->nmi = true;
		request->cpu = -1;
		if (!value)
			return 0;
		if (options_number(value, &number, NULL) || number >= CPUS_MAX)
			return options_fail(error, "\"%s\" is not a CPU; write its number, from 0",
					    value);
		request->cpu = (int)number;
		return 0;
	default:
		return guest_choice_apply(&request->choice, id, value, error);
	}
}

static void print_cpu(const json_t *cpu)
{
	const json_t *index = json_object_get(cpu, "cpu-index");
	const char *text = json_string_value(json_object_get(cpu, "text"));
	size_t size = text ? 4 * strlen(text) + 1 : 0;
	char *shown = text ? malloc(size) : NULL;
	printf("CPU %lld:\n%s\n", (long long)json_integer_value(index),
	       shown ? text_escape(shown, size, text, true) : "(no registers)");
	free(shown);
}

static int dump(void *ctx, struct guest *guest)
{
	const json_t *cpus = json_object_get(guest->reply, "cpus");
	(void)ctx;
	if (!guest->reply)
		return EXIT_FAILED;
	if (!json_is_array(cpus)) {
		log_error("guest \"%s\" answered x-ebb-registers without any CPU", guest->shown);
		return EXIT_FAILED;
	}
	printf("*** Registers of guest %s ***\n\n", guest->shown);
	for (size_t i = 0; i < json_array_size(cpus); i++)
		print_cpu(json_array_get(cpus, i));
	return EXIT_DONE;
}

static int run(struct guests *guests, int status, const char *command, json_t *arguments,
	       int (*finish)(void *ctx, struct guest *guest))
{
	guests_ask(guests, command, arguments, CONTROL_ANSWER_MS);
	return guests_finish(guests, status, finish, NULL);
}

/* Sends the guest's requests first; then reads the registers, which does not need the guest. */
static int debug(void *ctx, struct guests *guests, int status)
{
	const struct request *request = ctx;
	if (request->key)
		status = run(guests, status, "x-ebb-sysrq", json_pack("{s:s}", "key", request->key),
			     NULL);
	if (request->nmi)
		status =
			run(guests, status, "inject-nmi",
			    request->cpu < 0 ? NULL : json_pack("{s:i}", "cpu-index", request->cpu),
			    NULL);
	if (request->dump)
		status = run(guests, status, "x-ebb-registers", NULL, dump);
	return status;
}

int cmd_debug(int argc, char **argv)
{
	struct request request = {0};
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status >= 0)
		return status;
	if (!request.dump && !request.nmi && !request.key) {
		log_error("nothing to do; write -d, -s KEY or -m, see \"ebb debug --help\"");
		return EXIT_USAGE;
	}
	return guests_run(&request.choice, debug, &request);
}
