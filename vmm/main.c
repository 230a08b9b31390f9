// SPDX-License-Identifier: Apache-2.0
/* The table of subcommands, and help. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/lib/log.h"
#include "vmm/lib/standard_streams.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", cmd_run, "start a guest"},
	{"sandbox", cmd_sandbox, "run a command in a guest that sees the current folder"},
	{"setup", cmd_setup, "make an image, a Debian from packages, for \"ebb run\""},
	{"images", cmd_images, "list the images that were set up, or remove one"},
	{"list", cmd_list, "list the running guests"},
	{"top", cmd_top, "show the running guests live"},
	{"stat", cmd_stat, "show a guest's memory, balloon and statistics"},
	{"balloon", cmd_balloon, "change how much is in a guest's balloon"},
	{"reclaim", cmd_reclaim, "make a guest give back now what it does not use"},
	{"keeper", cmd_keeper, "get memory from the guests when the host is short of it"},
	{"pause", cmd_pause, "stop a guest's CPUs"},
	{"resume", cmd_resume, "let a paused guest continue"},
	{"stop", cmd_stop, "power a guest off"},
	{"snapshot", cmd_snapshot, "save a guest, to go on from there later"},
	{"clone", cmd_clone, "start guests that go on where one is, and share its memory"},
	{"pool", cmd_pool, "keep clones of a snapshot ready, and take one"},
	{"console", cmd_console, "attach to the console of a detached guest"},
	{"ssh", cmd_ssh, "run a command in a guest, or a shell, by its SSH server"},
	{"debug", cmd_debug, "look into a guest: registers, sysrq, NMI"},
	{"doctor", cmd_doctor, "check whether this host is fit for guests"},
	{"version", cmd_version, "print the version of ebb"},
	{"help", cmd_help, "show this list, or the options of a command"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char *command_name(const void *ctx, size_t i)
{
	(void)ctx;
	return commands[i].name;
}

static const struct command *find_command(const char *name)
{
	char text[512];
	struct option_error error = {text, sizeof(text)};
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];

	int nearest = options_nearest(name, strlen(name), command_name, NULL, COMMANDS);
	if (nearest >= 0)
		options_fail(&error,
			     "there is no command '%s'; did you mean '%s'? 'ebb help' lists them",
			     name, commands[nearest].name);
	else
		options_fail(&error, "there is no command '%s'; 'ebb help' lists them", name);
	log_error("%s", text);
	return NULL;
}

static int apply_help(void *ctx, int id, const char *value, struct option_error *error)
{
	const char **name = ctx;
	(void)id;
	if (*name)
		return options_fail(error, "two commands are given: '%s' and '%s'; name one", *name,
				    value);
	*name = value;
	return 0;
}

int cmd_help(int argc, char **argv)
{
	static const struct option options[] = {OPTION_HELP_LINE};
	static const struct option_table table = {
		"ebb help", "[COMMAND]", "Lists the commands, or shows the options of one.",
		options, 1};
	const char *name = NULL;
	int status = cmd_parse(&table, argc, argv, apply_help, &name);
	if (status >= 0)
		return status;
	if (name) {
		const struct command *command = find_command(name);
		char *help[] = {(char *)name, (char *)"--help", NULL};
		return command ? command->run(2, help) : EXIT_USAGE;
	}

	puts("usage: ebb COMMAND [OPTIONS]\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].help);
	puts("\n'ebb COMMAND -h' shows the options of a command. If only one guest is running, it need not\n"
	     "be named; -n NAME chooses among several.\n\n"
	     "Exit status: 0 done; 1 failed: the guest crashed, or its ebb refused or did not answer;\n"
	     "2 a mistake on the command line, no such guest or image, or a guest that did not start;\n"
	     "3 what was waited for did not come in time.");
	return EXIT_DONE;
}

/* Output is done only once it is written: a full disk must not look like success. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	log_error("cannot write to standard output");
	return status == EXIT_DONE ? EXIT_FAILED : status;
}

int main(int argc, char **argv)
{
	/* Otherwise a file that ebb opens could take the place of standard output. */
	if (standard_streams_open() != 0)
		return EXIT_NOT_STARTED;
	/* Inherited as ignored, it would hide how the programs that ebb starts have ended. */
	signal(SIGCHLD, SIG_DFL);

	char *help[] = {(char *)"help", NULL};
	char **words = argc > 1 ? argv + 1 : help;
	int count = argc > 1 ? argc - 1 : 1;
	const char *name = words[0];
	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	const struct command *command = find_command(name);
	return command ? finish(command->run(count, words)) : EXIT_USAGE;
}
