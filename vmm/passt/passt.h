/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt for one network of a guest: a user's network without privileges (passt(1)). passt runs as a
 * separate process and uses a socket, whose other end is passed to the caller; when it ends it is
 * started again, with pauses, and the caller gets the next socket.
 *
 * Once a guest runs, ebb itself starts no program: it has given up the privileges for that, and
 * passt has to start as root or as the user, and to make namespaces. So a small process, the
 * keeper, is forked before: it starts passt, waits for its end, and has nothing of the guest. When
 * ebb ends, for whatever reason, the keeper ends, and passt with it.
 *
 *     ebb ──── control: a message for each start ──── keeper ──── child ──── passt
 *      └──────────────────────── frames ─────────────────────────────────────┘
 *
 * Thread: start on main before any other thread runs; stop on main; the rest on one thread, the worker of the device.
 */
#ifndef EBB_PASST_PASST_H
#define EBB_PASST_PASST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PASST_FORWARDS_MAX 8

struct passt_config {
	uint16_t mtu; /* for the guest to use; 0: passt's own */
	unsigned int forwards;
	struct {
		bool udp;
		char ports[64]; /* "127.0.0.1/2222:22": passt's -t and -u */
	} forward[PASST_FORWARDS_MAX];
};

struct passt {
	int control;	 /* to the keeper; readable: passt_take(); -1: none */
	pid_t keeper;	 /* 0: none */
	int pidfd;	 /* the keeper's, if there is one */
	uint32_t serial; /* of the latest socket taken */
};

/*
 * Starts the keeper, which starts passt. Returns the first socket, non-blocking and the caller's, or -errno with @why
 * (PASST_WHY_SIZE bytes) set to the reason. Waits up to 35 seconds.
 */
int passt_start(struct passt *passt, const struct passt_config *config, char *why);
/* Ends the keeper and passt. Accepts a zeroed struct. */
void passt_stop(struct passt *passt);

/*
 * Returns the next socket, as passt_start(); -EAGAIN if there is none yet; -ENOMSG if passt could not be started and
 * the keeper tries again, with @why (PASST_WHY_SIZE bytes) set; or -EPIPE if the keeper has ended.
 */
int passt_take(struct passt *passt, char *why);
/* Ends the passt of the latest socket taken; the keeper then starts another one. */
void passt_give_up(struct passt *passt);

#define PASST_WHY_SIZE 160

/* Messages between passt.c and keeper.c. */
struct passt_message {
	uint32_t serial;
	int32_t error;		  /* 0: a socket comes with it */
	char why[PASST_WHY_SIZE]; /* one line */
};
#define PASST_ARGUMENTS_MAX (8 + 2 * PASST_FORWARDS_MAX)
/* Fills @argv in, with NULL at the end, for the socket @fd (as text). */
void passt_arguments(const struct passt_config *config, const char *fd, char *mtu,
		     const char *argv[PASST_ARGUMENTS_MAX]);
/* The keeper's process. */
_Noreturn void passt_keep(const struct passt_config *config, int control);

#endif
