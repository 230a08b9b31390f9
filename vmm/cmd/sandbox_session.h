/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command's session with the agent of a guest of `ebb sandbox`, whoever started that: what the agent is told, and what
 * came of it. Thread: main.
 */
#ifndef EBB_CMD_SANDBOX_SESSION_H
#define EBB_CMD_SANDBOX_SESSION_H

#include "vmm/agent/session.h"
#include "vmm/cmd/sandbox_run.h"

struct sandbox_session {
	struct session_sockets *sockets;
	enum agent_terminal terminal;
	bool network;		 /* the guest has one */
	int guest, console;	 /* as in struct session_config */
	pid_t pid;		 /* likewise */
	bool hangs_up;		 /* likewise */
	const sigset_t *signals; /* likewise */
};

/* Returns what of the standard streams is a terminal that the command can have. */
enum agent_terminal sandbox_terminal(void);

/* Adds to an empty message what is to run. An error is kept in it. */
void sandbox_describe(struct command *command, const struct sandbox_request *request,
		      enum agent_terminal terminal);

/* Completes the message, and runs it. Closes the console. Returns 0, or -errno after an error message. */
int sandbox_session(const struct sandbox_session *session, struct command *command,
		    struct session_result *result);

/*
 * Returns the exit status, after an error message unless the command gave it. @status is that of the guest's process, which
 * has said itself why it could not start.
 */
int sandbox_conclude(struct session_result *result, const struct sandbox_request *request,
		     int status);

#endif
