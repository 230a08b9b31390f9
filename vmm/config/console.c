// SPDX-License-Identifier: Apache-2.0
/* The options about the guest's console. */
#include <string.h>

#include "vmm/config/part.h"

enum { CONSOLE, DETACH, LOG, PORT };

static const struct option options[] = {
	{CONSOLE, 0, "console", "KIND",
	 "the guest's console: serial, virtio (hvc0, with\nthe terminal's size), none, or file=FILE: its\n"
	 "output alone, renamed to FILE.1 at 1 MiB [serial]",
	 false},
	{PORT | OPTION_AGAIN, 0, "port", "NAME",
	 "a channel to the guest's /dev/virtio-ports/NAME\nfor 'ebb console --port NAME'; up to two",
	 false},
	{DETACH, 0, "detach", NULL,
	 "run without a terminal: return when the guest\nruns, with its name on standard output",
	 false},
	{LOG, 0, "log", "FILE",
	 "with --detach: write the console's output to\nFILE; at 1 MiB it is renamed to FILE.1\n"
	 "[~/.local/state/ebb/NAME.log]",
	 false},
};

static int set_kind(struct vm_console *console, const char *value, struct option_error *error)
{
	static const char *const kinds[] = {"serial", "virtio", "none"};

	if (strncmp(value, "file=", 5) == 0) {
		console->kind = VM_CONSOLE_FILE;
		return config_file(&console->file, "console", value + 5, error);
	}
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(value, kinds[i]) != 0)
			continue;
		console->kind = (enum vm_console_kind)i;
		return 0;
	}
	return options_fail(
		error, "unknown console \"%s\"; it is serial, virtio, none or file=FILE", value);
}

static int add_port(struct vm_console *console, const char *name, struct option_error *error)
{
	size_t len = strlen(name);

	if (console->ports == VM_PORTS_MAX)
		return options_fail(error, "a guest can have %d ports", VM_PORTS_MAX);
	if (len == 0 || len > VM_PORT_MAX)
		return options_fail(error, "the port's name \"%s\" must have 1 to %d bytes", name,
				    VM_PORT_MAX);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == '/' || name[i] == 0x7f)
			return options_fail(error,
					    "the port's name \"%s\" has a space, a slash or "
					    "a control character; the guest makes a file of it",
					    name);
	for (unsigned int i = 0; i < console->ports; i++)
		if (strcmp(console->port[i], name) == 0)
			return options_fail(error, "there are two ports \"%s\"; name them apart",
					    name);
	console->port[console->ports++] = name;
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_console *console = &((struct vm_config *)ctx)->console;
	if (id == DETACH)
		console->detach = true;
	if (id == LOG)
		return config_file(&console->log, "log", value, error);
	if (id == PORT)
		return add_port(console, value, error);
	return id == CONSOLE ? set_kind(console, value, error) : 0;
}

static int check(void *ctx, struct option_error *error)
{
	const struct vm_console *console = &((const struct vm_config *)ctx)->console;
	if (console->log && !console->detach)
		return options_fail(
			error, "--log needs --detach; without it, the console is this terminal");
	if (console->file && console->detach)
		return options_fail(error, "--console file= and --detach cannot be combined; --log "
					   "names the file of a guest that is detached");
	return 0;
}

const struct option_group config_console = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.check = check,
};
