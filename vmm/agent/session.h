/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's half of `ebb sandbox`: waits for the agent's connections, tells it the command, and passes on
 * streams, signals and the terminal's size until the command has ended. README.md tells how.
 *
 * The guest is hostile: each stream is taken once, only a report of eight bytes is ever understood, what is kept
 * is bounded, and no guest can keep the session from ending when its user wants that.
 *
 * Thread: a process with one; signals are blocked and read from a descriptor while it runs.
 */
#ifndef EBB_AGENT_SESSION_H
#define EBB_AGENT_SESSION_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/agent/command.h"

/*
 * How long the guest may take from its start to the command's; a machine that is emulated is slow. What its process waits for a
 * processor meanwhile does not count, up to so many times that: 50 that start at once may take longer.
 */
#define SESSION_START_S	   300
#define SESSION_START_MOST 6
/* How long the command may take to end by SIGTERM or SIGHUP, before the guest is ended: as `docker stop` has it. */
#define SESSION_GRACE_MS 10000
/* How much of the guest's console is kept: its last words. */
#define SESSION_CONSOLE 4096

enum session_end {
	SESSION_REPORTED,   /* by the agent: see @report */
	SESSION_SIGNALLED,  /* the user wants it to end: by signal @signal */
	SESSION_GUEST_DIED, /* without a report */
	SESSION_LATE,	    /* the command was not started in time */
	SESSION_BROKEN,	    /* the guest sent what is no report */
};

struct session_result {
	enum session_end end;
	struct agent_report report;
	int signal;
	int64_t took_ms; /* from the guest's start to the session's end */
	char console[SESSION_CONSOLE + 1];
};

/* The sockets at which the guest's streams arrive. Owned by the caller. */
struct session_sockets {
	int fd[AGENT_STREAMS]; /* -1: closed */
	char path[108];	       /* of the guest's socket (--vsock) */
};

/* Makes them. Returns 0, or -errno after an error message. */
int session_listen(struct session_sockets *sockets, const char *path);
/* Closes them; @remove: and removes their names, which one of two processes does. May be called again. */
void session_close(struct session_sockets *sockets, bool remove);

struct session_config {
	struct session_sockets *sockets;
	const struct command *command;
	enum agent_terminal terminal; /* standard input is one then, and raw: keys_raw() */
	int guest;		      /* becomes readable when the guest's process has ended */
	pid_t pid;		      /* that process; 0: not a child, and all of its time counts */
	bool hangs_up; /* no: it is a socket, and closed by then, whatever comes there before */
	int console;   /* the guest's console, to be read; non-blocking */
	unsigned int start_ms;	 /* SESSION_START_S, but in tests */
	unsigned int grace_ms;	 /* SESSION_GRACE_MS, but in tests */
	const sigset_t *signals; /* blocked already: those to pass on */
};

/* The signals that a session takes: not those that are ignored, nor SIGPIPE. */
void session_signals(sigset_t *signals);

/* Reads some of the console, and keeps the last of it. Returns false if there is no more for now. */
bool session_read_console(int console, char kept[SESSION_CONSOLE + 1]);

/* Returns 0 with @result set, or -errno after an error message. Closes @console. */
int session_run(const struct session_config *config, struct session_result *result);

#endif
