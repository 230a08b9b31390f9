// SPDX-License-Identifier: Apache-2.0
/*
 * ebb ssh: the ssh program, to a guest's SSH server on its vsock, which needs no network and no root.
 *
 *     ebb ssh ── x-ebb-vsock ──► the guest's ebb: where is the socket, or what is the guest's CID?
 *        │ ── connects, to see whether the server is there, and leaves
 *        ▼ exec
 *       ssh ── ProxyCommand ──► ebb ssh --proxy ADDRESS: connects, and passes ssh the connection
 *
 * ssh gets the socket itself (ProxyUseFdpass): nothing is copied in between. ssh alone would not say in one line why it
 * cannot connect, so this is found out first.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/config/vsock.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/text.h"
#include "vmm/vsock/client.h"

#define PORT	   22
#define TIMEOUT_MS 10000
#define PROXY_MS   10000 /* the server was there a moment ago */
#define AGAIN_MS   200
/* As ssh has it: any other status is the command's. */
#define EXIT_SSH 255
/* More than those that it is given beside the user's. */
#define OWN_WORDS 16

enum { LOGIN, IDENTITY, SSH_OPTION, TTY, TIMEOUT };

static const struct option options[] = {
	OPTION_NAME_LINE,
	{LOGIN, 'l', "login", "USER", "the guest's user [root]", false},
	{IDENTITY | OPTION_AGAIN, 'i', "identity", "FILE", "a private key, as of ssh -i", false},
	{SSH_OPTION | OPTION_AGAIN, 'o', "option", "OPTION",
	 "an option of ssh_config(5), such as\nForwardAgent=yes; may be given again", false},
	{TTY, 't', "terminal", NULL, "give the command a terminal; give\nit twice to force one",
	 false},
	{TIMEOUT, 0, "timeout", "SECONDS", "wait so long for the guest's SSH server [10]", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb ssh", "[NAME] [--] [COMMAND [ARG]...]",
	"Runs a command in a guest, or a shell, by ssh and the guest's SSH server, which\n"
	"listens on vsock, as systemd 256 and later has it; needs no network. Start the\n"
	"guest with --ssh. Host keys are not checked: the socket is the guest's alone.\n"
	"Ends with the command's status, or 255 if ebb or ssh failed.",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	const char *user;
	unsigned int timeout_ms;
	const char **word; /* ssh's arguments, NULL at the end; owned */
	size_t words;
	char **argv; /* where the command is looked for, then the command */
	bool command;
};

static void add(struct request *request, const char *word)
{
	request->word[request->words++] = word;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;

	switch (id) {
	case OPTION_WORD:
		if (request->command)
			return OPTIONS_END;
		while (*request->argv != value)
			request->argv++;
		/* Behind "--" is the command, also where no guest is named. */
		if (!request->choice.name && strcmp(request->argv[-1], "--") != 0)
			return guest_choice_apply(&request->choice, OPTION_CHOICE_NAME, value,
						  error);
		request->command = true;
		return OPTIONS_END;
	case LOGIN:
		request->user = value;
		return 0;
	case TIMEOUT:
		return options_seconds("--timeout", value, &request->timeout_ms, error);
	case IDENTITY:
	case SSH_OPTION:
		add(request, id == IDENTITY ? "-i" : "-o");
		add(request, value);
		return 0;
	case TTY:
		add(request, "-t");
		return 0;
	default:
		return guest_choice_apply(&request->choice, id, value, error);
	}
}

/* --- the connection --------------------------------------------------------------------------- */

/* Tries until something listens at the guest's port, or the time is up. Returns a socket or -errno. */
static int wait_for_server(const char *address, unsigned int limit_ms)
{
	int64_t deadline = clock_ms() + limit_ms;
	int fd = vsock_client_connect(address, PORT, deadline);

	while (fd == -ECONNRESET && clock_ms() < deadline) {
		clock_sleep_ms(AGAIN_MS);
		int next = vsock_client_connect(address, PORT, deadline);
		/* Not this: a try that was cut short at the deadline. */
		fd = next == -ETIMEDOUT ? fd : next;
	}
	return fd;
}

static void say_why(const char *address, int error)
{
	char shown[TEXT_MAX];

	text_escape(shown, sizeof(shown), address, false);
	switch (error) {
	case -ECONNRESET:
		log_error(
			"nothing listens on vsock port %d in the guest: if it is still starting, wait "
			"with a longer --timeout; else it needs an SSH server there, as systemd 256 and "
			"later starts one where sshd is installed",
			PORT);
		break;
	case -ETIMEDOUT:
		log_error("the guest does not answer on its vsock: it is paused, or busy with its "
			  "start; try again, or with a longer --timeout");
		break;
	case -EPROTO:
		log_error("%s does not answer as the socket of a guest's vsock does", shown);
		break;
	default:
		log_error("cannot connect to the guest's vsock by its %s %s: %s",
			  *address == '/' ? "socket" : "CID", shown, strerror(-error));
	}
}

/* ebb ssh --proxy ADDRESS: ssh's standard output is a socket that the connection is passed by. */
static int proxy(const char *address)
{
	int fd = wait_for_server(address, PROXY_MS);

	if (fd < 0) {
		say_why(address, fd);
		return EXIT_SSH;
	}
	if (pass_fd_send(STDOUT_FILENO, "", 1, fd) == 1)
		return EXIT_DONE;
	log_error("cannot pass ssh the connection: %s; --proxy is for ssh alone", strerror(errno));
	return EXIT_SSH;
}

/* --- ssh ------------------------------------------------------------------------------------- */

/* Writes @text for a shell and for ssh, which replaces what follows a "%". */
static void quote(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fprintf(out, *text == '%' ? "%%%%" : "%c", *text);
	fputc('\'', out);
}

/* Returns the option, the caller's, or NULL. */
static char *proxy_command(const char *address)
{
	char *text = NULL, own[PATH_MAX];
	size_t size;

	ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
	FILE *out = len < 0 ? NULL : open_memstream(&text, &size);
	if (!out)
		return NULL;
	own[len] = '\0';
	fputs("ProxyCommand=", out);
	quote(out, own);
	fputs(" ssh --proxy ", out);
	quote(out, address);
	bool failed = ferror(out);
	if (fclose(out) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}

/* What ssh calls the guest. It takes only some characters, and looks into its own files for those that match. */
static void host_of(const char *guest, char host[VM_NAME_MAX + sizeof("ebb-")])
{
	static const char plain[] =
		"0123456789-.ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

	snprintf(host, VM_NAME_MAX + sizeof("ebb-"), "ebb-%s", guest);
	for (; *host; host++)
		if (!strchr(plain, *host))
			*host = '_';
}

static void start_ssh(struct request *request, const char *guest, const char *address)
{
	/* The user's come first, and of two ssh takes the first. */
	static const char *const own[] = {
		"-oProxyUseFdpass=yes",
		/*
		 * Only the user can have made the socket, and it leads to this guest: a host key would tell nothing
		 * more. And another guest may have had the name before.
		 */
		"-oStrictHostKeyChecking=no",
		"-oUserKnownHostsFile=/dev/null",
		"-oGlobalKnownHostsFile=/dev/null",
		"-oLogLevel=ERROR",
		/* For the same reason: an earlier guest's connection is not shared. */
		"-oControlPath=none",
	};
	char host[VM_NAME_MAX + sizeof("ebb-")];
	char *command = proxy_command(address);

	if (!command) {
		log_error("cannot name this program to ssh: %s", strerror(errno));
		return;
	}
	host_of(guest, host);
	add(request, "-o");
	add(request, command);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		add(request, own[i]);
	add(request, "-l");
	add(request, request->user);
	add(request, "--");
	add(request, host);
	while (request->command && *request->argv)
		add(request, *request->argv++);
	add(request, NULL);
	/* ssh has the user's shell run the proxy: that may be none. */
	setenv("SHELL", "/bin/sh", 1);
	execvp(request->word[0], (char **)request->word);
	if (errno == ENOENT)
		log_error("the program ssh is not installed; install openssh-client");
	else
		log_error("cannot start ssh: %s", strerror(errno));
	free(command);
}

/* Sets *@address as vsock_client_connect() takes it. Returns false after an error message. */
static bool find_address(struct guests *guests, char address[PATH_MAX])
{
	struct guest *guest = guests->guest[0];

	guests_ask_quietly(guests, "x-ebb-vsock", NULL, CONTROL_ANSWER_MS);
	if (guest->call.err == -EREMOTEIO &&
	    strcmp(control_client_error_class(guest->call.client), "DeviceNotFound") == 0) {
		log_error(
			"the guest \"%s\" has no vsock device, by which ssh could reach it; start it "
			"with --ssh",
			guest->shown);
		return false;
	}
	const char *path = json_string_value(json_object_get(guest->reply, "path"));
	json_int_t cid = json_integer_value(json_object_get(guest->reply, "cid"));
	if (path && *path == '/' && strlen(path) < PATH_MAX)
		snprintf(address, PATH_MAX, "%s", path);
	else if (json_is_null(json_object_get(guest->reply, "path")) && cid >= VM_VSOCK_CID_MIN &&
		 cid <= VM_VSOCK_CID_MAX)
		snprintf(address, PATH_MAX, "%" JSON_INTEGER_FORMAT, cid);
	else
		address[0] = '\0';
	if (!address[0])
		log_error("the guest \"%s\" does not say where its vsock's socket is",
			  guest->shown);
	return address[0] != '\0';
}

/* Does not return if ssh could be started. */
static int ssh(void *ctx, struct guests *guests, int status)
{
	struct request *request = ctx;
	char address[PATH_MAX];
	(void)status;

	if (!find_address(guests, address))
		return EXIT_SSH;
	int fd = wait_for_server(address, request->timeout_ms);
	if (fd < 0) {
		say_why(address, fd);
		return EXIT_SSH;
	}
	close(fd);
	start_ssh(request, guests->guest[0]->name, address);
	return EXIT_SSH;
}

int cmd_ssh(int argc, char **argv)
{
	struct request request = {.user = "root", .timeout_ms = TIMEOUT_MS, .argv = argv};

	if (argc == 3 && strcmp(argv[1], "--proxy") == 0)
		return proxy(argv[2]);
	request.word = calloc((size_t)argc * 2 + OWN_WORDS, sizeof(request.word[0]));
	if (!request.word) {
		log_error("out of memory");
		return EXIT_SSH;
	}
	add(&request, "ssh");
	int status = cmd_parse(&table, argc, argv, apply, &request);
	if (status < 0)
		status = guests_run(&request.choice, ssh, &request);
	free(request.word);
	return status == EXIT_DONE ? EXIT_DONE : EXIT_SSH;
}
