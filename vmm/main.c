// SPDX-License-Identifier: Apache-2.0
/* The table of subcommands, and nothing else. */
#include <stdio.h>
#include <string.h>

#include "vmm/cmd.h"
#include "vmm/console.h"
#include "vmm/util/log.h"

#define EBB_VERSION "0.1"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", cmd_run, "start a guest"},
	{"version", cmd_version, "say which ebb this is"},
	{"help", cmd_help, "this list"},
};

int cmd_version(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("ebb " EBB_VERSION);
	return 0;
}

int cmd_help(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("usage: ebb COMMAND [OPTIONS]\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].help);
	puts("\n'ebb COMMAND -h' tells a command's options.");
	return 0;
}

int main(int argc, char **argv)
{
	/* Without it what follows could fall over a file of ours that took standard output's place. */
	if (console_ensure_stdio() != 0)
		return EXIT_NOT_STARTED;

	const char *name = argc > 1 ? argv[1] : "help";
	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	log_error("there is no command '%s': 'ebb help' lists them", name);
	return EXIT_NOT_STARTED;
}
