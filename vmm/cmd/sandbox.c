// SPDX-License-Identifier: Apache-2.0
/* ebb sandbox: runs a command in a guest that sees the current folder, and ends with its status. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/pool.h"
#include "vmm/cmd/sandbox_guest.h"
#include "vmm/cmd/sandbox_run.h"
#include "vmm/lib/log.h"
#include "vmm/lib/option_keys.h"

/* By default: half of the host's memory, but not more, since the guest's kernel takes a 64th of it for itself. */
#define MEMORY_MOST_MIB	 4096
#define MEMORY_LEAST_MIB 256
/* Some kernels for guests have no place for more. */
#define CPUS_MOST 64
/* Options that are passed on where they are not given: --mem, --cpus, --kernel and --initrd. */
#define DEFAULTS 4

enum {
	/* What the command sees. */
	READ_ONLY,
	FOLDER,
	WRITABLE,
	ENVIRONMENT,
	POOL,
	/* The guest: what `ebb run` calls so, too. A pool has chosen that. */
	NETWORK,
	MEMORY,
	CPUS,
	KERNEL,
	INITRD,
	PARAMS,
	NAME,
	REPORTING,
	ADMIT,
	CGROUP,
	OPTIONS,
};

static const struct option options[] = {
	{READ_ONLY, 0, "ro", NULL, "the command cannot change the current folder", false},
	{FOLDER | OPTION_AGAIN, 0, "fs", "DIR[,ro]",
	 "show another folder, or file, at the same place: a\nfile read-only, unless --rw gives it; may be given\nagain",
	 false},
	{WRITABLE | OPTION_AGAIN, 0, "rw", "DIR",
	 "let the command change a folder, or file, of the\nhost; . is the current one; may be given again",
	 false},
	{ENVIRONMENT | OPTION_AGAIN, 'e', "env", "NAME[=VALUE]",
	 "set a variable of the command's environment, or\ntake this one's; may be given again",
	 false},
	{POOL, 0, "pool", "NAME",
	 "take a guest that has started already, from\n\"ebb pool NAME --sandbox\", which chooses what\nfollows here",
	 false},
	{NETWORK | OPTION_AGAIN, 'n', "network", "KIND",
	 "a network, as of \"ebb run\", such as user [none]", false},
	{MEMORY, 'm', "mem", "SIZE",
	 "the most memory that the guest may take [half of\nthe host's, up to 4G]", false},
	{CPUS, 'c', "cpus", "N", "the guest's CPUs [as many as ebb may use]", false},
	{KERNEL, 'k', "kernel", "FILE", "the guest's kernel [the one that was built with ebb]",
	 false},
	{INITRD, 'i', "initrd", "FILE", "an initrd with ebb-agent [likewise]", false},
	{PARAMS | OPTION_AGAIN, 'p', "params", "STRING", "more parameters of the guest's kernel",
	 false},
	{NAME, 0, "name", "NAME", "the guest's name on this machine [guest-PID]", false},
	{REPORTING, 0, "free-page-reporting", "on|off",
	 "take back what the guest reports free: on, or off\nto compare [on]", false},
	{ADMIT, 0, "admit", "HOW",
	 "when \"ebb keeper\" says that the guest would not fit:\nwarn, strict (do not start it) or off [warn]",
	 false},
	{CGROUP, 0, "cgroup", "PATH[,memory=SIZE][,cpu=N]",
	 "run the guest's processes in a cgroup of its own\nin PATH, as \"ebb run\" does; auto makes no scope;\nnot for a pool",
	 false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	.command = "ebb sandbox",
	.words = "[--] COMMAND [ARG]...",
	.about = "Runs a command in a guest of its own, which sees the current folder and the\n"
		 "host's programs (/usr, little of /etc), but no other file, no variable but\n"
		 "TERM, and no network. Its changes are lost when the guest ends, except in\n"
		 "folders given by --rw. Ends with the command's status: 125 if the guest failed,\n"
		 "126 if the command cannot be executed, 127 if there is none. On a terminal, ^C\n"
		 "three times within a second ends the guest.",
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
};

/* --- options --------------------------------------------------------------------------------- */

struct parsing {
	struct sandbox_request *request;
	char **argv;
	bool read_only, given[OPTIONS];
};

static int pass_on(struct sandbox_request *request, const char *name, const char *value,
		   struct option_error *error)
{
	char **option = &request->option[request->options];

	if (request->options == SANDBOX_OPTIONS_MAX)
		return options_fail(error, "--%s is one option too many", name);
	if (asprintf(option, "--%s=%s", name, value) < 0)
		return options_fail(error, "out of memory");
	request->options++;
	return 0;
}

enum { FOLDER_READ_ONLY };

static const struct option_key keys[] = {
	{FOLDER_READ_ONLY, "ro", NULL, false},
};

static const struct option_keys folder_keys = {"folder", "DIR", keys, 1};

struct folder {
	char name[PATH_MAX];
	enum files_access access;
};

static int apply_key(void *ctx, int id, const char *value, struct option_error *error)
{
	struct folder *folder = ctx;

	(void)error;
	if (id == FOLDER_READ_ONLY)
		folder->access = FILES_READ_ONLY;
	else
		snprintf(folder->name, sizeof(folder->name), "%s", value); /* a part fits */
	return 0;
}

#define BOTH "%s is to be both read-only (\"ro\") and writable (--rw): leave out one of these"

static int share(struct sandbox_request *request, const char *name, enum files_access access,
		 struct option_error *error)
{
	int err = *name ? files_add(&request->files, name, access) : -EINVAL;

	switch (err) {
	case 0:
		return 0;
	case -EINVAL:
		return options_fail(error, "a folder's name is empty; name the folder");
	case -EISDIR:
		return options_fail(error,
				    "/ cannot be shared, with all files of this machine; name a "
				    "folder in it");
	case -E2BIG:
		return options_fail(error, "the folder \"%s\" is one too many; %d can be shared",
				    name, FILES_DIRS_MAX);
	case -EEXIST:
		return options_fail(error, BOTH, name);
	default:
		return options_fail(error, "cannot share %s: %s", name, strerror(-err));
	}
}

static int add_folder(struct sandbox_request *request, const char *value,
		      struct option_error *error)
{
	struct folder folder = {.access = FILES_LAYERED};

	if (option_keys_parse(&folder_keys, value, apply_key, &folder, error))
		return -EINVAL;
	return share(request, folder.name, folder.access, error);
}

static int add_variable(struct sandbox_request *request, const char *value,
			struct option_error *error)
{
	if (!*value || *value == '=')
		return options_fail(
			error, "\"%s\" names no variable; write --env NAME or NAME=VALUE", value);
	char **more = reallocarray(request->environment, request->environments + 1, sizeof(*more));
	if (!more)
		return options_fail(error, "out of memory");
	request->environment = more;
	request->environment[request->environments++] = (char *)value;
	return 0;
}

static int set_pool(struct sandbox_request *request, const char *name, struct option_error *error)
{
	const char *wrong = pool_name_error(name);

	request->pool = name;
	return wrong ? options_fail(error, "the name \"%s\" of the pool %s", name, wrong) : 0;
}

static const char *name_of(int id)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if ((options[i].id & ~OPTION_AGAIN) == id)
			return options[i].name;
	return "";
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct parsing *parsing = ctx;
	struct sandbox_request *request = parsing->request;

	if (id >= 0)
		parsing->given[id] = true;
	switch (id) {
	case OPTION_WORD:
		/* The first is the command; all that follow are its arguments. */
		if (!request->command)
			while (*parsing->argv != value)
				parsing->argv++;
		request->command = request->command ? request->command : parsing->argv;
		return OPTIONS_END;
	case READ_ONLY:
		parsing->read_only = true;
		return 0;
	case FOLDER:
		return add_folder(request, value, error);
	case WRITABLE:
		return share(request, value, FILES_WRITABLE, error);
	case ENVIRONMENT:
		return add_variable(request, value, error);
	case POOL:
		return set_pool(request, value, error);
	case NETWORK:
		request->network |= strcmp(value, "none") != 0;
		break;
	default:
		break;
	}
	if (request->options == SANDBOX_OPTIONS_MAX - DEFAULTS)
		return options_fail(error, "--%s is one option too many", name_of(id));
	return pass_on(request, name_of(id), value, error);
}

/* --- defaults -------------------------------------------------------------------------------- */

static int add_number(struct sandbox_request *request, const char *name, unsigned long number,
		      struct option_error *error)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", number);
	return pass_on(request, name, text, error);
}

static int add_sizes(struct sandbox_request *request, const bool *given, struct option_error *error)
{
	unsigned long mib =
		(unsigned long)sysconf(_SC_PHYS_PAGES) / 2 * (unsigned long)sysconf(_SC_PAGESIZE) >>
		20;
	cpu_set_t cpus;
	int count = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;

	mib = mib > MEMORY_MOST_MIB    ? MEMORY_MOST_MIB
	      : mib < MEMORY_LEAST_MIB ? MEMORY_LEAST_MIB
				       : mib;
	int err = given[MEMORY] ? 0 : add_number(request, "mem", mib, error);
	if (!err && !given[CPUS])
		err = add_number(request, "cpus",
				 (unsigned long)(count > CPUS_MOST ? CPUS_MOST : count), error);
	return err;
}

static int add_guest(struct sandbox_request *request, const bool *given, struct option_error *error)
{
	char kernel[PATH_MAX], initrd[PATH_MAX];
	int err = 0;

	if (given[KERNEL] && given[INITRD])
		return 0;
	if (files_find_guest(kernel, initrd) < 0)
		return options_fail(
			error,
			"there is no guest's kernel with its initramfs.cpio in %s: 'make guest' builds them, "
			"and 'make install-guest' installs them; or name them with -k and -i",
			kernel);
	if (!given[KERNEL])
		err = pass_on(request, "kernel", kernel, error);
	if (!err && !given[INITRD])
		err = pass_on(request, "initrd", initrd, error);
	return err;
}

static int add_defaults(struct sandbox_request *request, const bool *given)
{
	char text[PATH_MAX + 256];
	struct option_error error = {text, sizeof(text)};

	int err = add_guest(request, given, &error);
	if (!err)
		err = add_sizes(request, given, &error);
	if (err)
		log_error("%s", text);
	return err;
}

/* Returns whether @path is the user's home, or a folder above it. */
static bool holds_home(const char *path)
{
	const char *name = getenv("HOME");
	char home[PATH_MAX];
	size_t len = strlen(path);

	return name && realpath(name, home) && strncmp(home, path, len) == 0 &&
	       (home[len] == '/' || !home[len]);
}

static bool is_shared(const struct files *files, const char *path)
{
	for (unsigned int i = 0; i < files->dirs; i++)
		if (strcmp(files->dir[i].path, path) == 0)
			return true;
	return false;
}

static int add_current_folder(struct sandbox_request *request, bool read_only)
{
	char *folder = request->folder;

	if (!realpath(".", folder)) {
		log_error("cannot find the current folder: %s", strerror(errno));
		return -errno;
	}
	/* Who stands there by chance would give a stranger all that is in it. */
	if (strcmp(folder, "/") == 0 ||
	    (holds_home(folder) && !is_shared(&request->files, folder))) {
		log_error(
			"the current folder is %s, with all that is yours: change to the one that the "
			"command needs%s",
			folder, folder[1] ? ", or share this one with --fs ." : "");
		return -EINVAL;
	}
	int error = files_add(&request->files, folder, read_only ? FILES_READ_ONLY : FILES_LAYERED);
	if (error == -EEXIST) {
		log_error(BOTH, folder);
		return error;
	}
	if (!error)
		error = files_finish(&request->files);
	if (error)
		log_error(
			"more folders are shared, or more of them in others, than can be; name fewer "
			"with --fs");
	return error;
}

void sandbox_request_release(struct sandbox_request *request)
{
	for (unsigned int i = 0; i < request->options; i++)
		free(request->option[i]);
	free(request->environment);
	free(request);
}

/* --- with a pool ----------------------------------------------------------------------------- */

/* Returns whether none of the options from @first to @last is given; or says so. */
static bool none_given(const bool *given, int first, int last, const char *why)
{
	for (int id = first; id <= last; id++)
		if (given[id]) {
			log_error("--%s %s", name_of(id), why);
			return false;
		}
	return true;
}

#define NAMES "is made of the pool's name, as in NAME-1: leave it out"

static int check_pool(const struct parsing *parsing)
{
	const bool *given = parsing->given;
	char why[512];

	snprintf(
		why, sizeof(why),
		"is for the start of a guest, and a pool's has started: \"ebb pool %s --sandbox -- …\" "
		"takes it for all of its guests",
		parsing->request->pool);
	return none_given(given, NAME, NAME, NAMES) && none_given(given, NETWORK, ADMIT, why) &&
			       none_given(given, CGROUP, CGROUP,
					  "is for a guest of one's own: a pool's has no cgroup, so "
					  "leave out --pool")
		       ? 0
		       : -EINVAL;
}

static int finish_for_pool(const struct parsing *parsing)
{
	struct sandbox_request *request = parsing->request;
	const bool *given = parsing->given;

	if (request->command) {
		log_error("\"%s\" is no option; the command is that of ebb sandbox --pool",
			  request->command[0]);
		return -EINVAL;
	}
	if (!none_given(given, NAME, NAME, NAMES) ||
	    !none_given(given, CGROUP, CGROUP,
			"would not bound virtiofsd, which ebb sandbox --pool starts outside of it: "
			"leave it out, or use ebb sandbox without a pool") ||
	    !none_given(given, READ_ONLY, POOL,
			"is for the command: give it to ebb sandbox --pool"))
		return -EINVAL;
	int error = add_defaults(request, given);
	return error ? error : sandbox_guest_check(request);
}

struct sandbox_request *sandbox_request_for_pool(int argc, char **argv)
{
	struct sandbox_request *request = calloc(1, sizeof(*request));
	struct parsing parsing = {.request = request, .argv = argv};
	char text[512];
	struct option_error error = {text, sizeof(text)};

	if (!request) {
		log_error("out of memory");
		return NULL;
	}
	enum option_outcome outcome = options_parse(&table, argc, argv, apply, &parsing, &error);
	if (outcome == OPTIONS_HELP)
		log_error("\"ebb help sandbox\" shows the options that may follow --");
	else if (outcome == OPTIONS_ERROR)
		log_error("%s", text);
	else if (finish_for_pool(&parsing) == 0)
		return request;
	sandbox_request_release(request);
	return NULL;
}

int cmd_sandbox(int argc, char **argv)
{
	struct sandbox_request *request = calloc(1, sizeof(*request));
	struct parsing parsing = {.request = request, .argv = argv};
	int status = EXIT_SANDBOX;

	if (!request) {
		log_error("out of memory");
		return EXIT_SANDBOX;
	}
	int parsed = cmd_parse(&table, argc, argv, apply, &parsing);
	if (parsed >= 0)
		status = parsed == EXIT_DONE ? EXIT_DONE : EXIT_SANDBOX;
	else if (!request->command)
		log_error("no command is given; write ebb sandbox -- COMMAND [ARG]...");
	else if (request->pool) {
		if (check_pool(&parsing) == 0 &&
		    add_current_folder(request, parsing.read_only) == 0)
			status = sandbox_run_pooled(request);
	} else if (add_current_folder(request, parsing.read_only) == 0 &&
		   add_defaults(request, parsing.given) == 0)
		status = sandbox_run(request);
	sandbox_request_release(request);
	return status;
}
