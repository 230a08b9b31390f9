/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a guest of `ebb sandbox`: an ebb as of `ebb run`, in a session of its own, with the same sandbox around
 * it. It ends with the process that started it, however that ends. Thread: main.
 */
#ifndef EBB_CMD_SANDBOX_GUEST_H
#define EBB_CMD_SANDBOX_GUEST_H

#include <signal.h>

#include "vmm/agent/session.h"
#include "vmm/cmd/sandbox_run.h"

/* How long it may take to end; it takes milliseconds, unless the host hangs. */
#define SANDBOX_STOP_MS 15000

struct sandbox_guest {
	char dir[32];		   /* of our own, in /tmp */
	char vsock[64], place[64]; /* in it: the guest's socket; where the view of the files is */
	struct session_sockets sockets;
	sigset_t signals; /* those that it does not hold back */
	pid_t pid;
	int pidfd;
	int console; /* to be read; non-blocking */
	int server; /* where its folders' server is given to it (backend_give()); -1: it starts its own */
	int owner; /* the guest's process does not keep it; -1: none */
};

/* Sets what does not exist yet. */
void sandbox_guest_init(struct sandbox_guest *guest);

/*
 * Makes its files, and starts it. @name: --name=NAME, or NULL. @owner: the socket to whoever has it, who gives it its folders' server
 * later, at guest->server; or -1: it starts its own, for @request->files. Returns 0, or -errno after an error message; then,
 * too, sandbox_guest_stop() and sandbox_guest_remove() follow.
 */
int sandbox_guest_start(struct sandbox_guest *guest, struct sandbox_request *request,
			const char *name, int owner);
/* The first half: finds mistakes in the options. Starts nothing. */
int sandbox_guest_check(struct sandbox_request *request);
/* Ends it, and returns its exit status. */
int sandbox_guest_stop(struct sandbox_guest *guest);
void sandbox_guest_remove(struct sandbox_guest *guest);

/* Wipes what of the user's variables ebb and its backends do not need: an attacker inside ebb could read them. */
void sandbox_forget_environment(void);

#endif
