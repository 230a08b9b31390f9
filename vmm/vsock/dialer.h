/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of a guest's sockets on the host: PATH, where programs connect to reach the guest, and PATH_N, where the guest
 * reaches the program that listens there as port N.
 *
 * Once a guest runs, ebb has given up the names of files and the making of sockets (vmm/sandbox). So a small process, the
 * dialer, is forked before: it connects to PATH_N for ebb, which names N and nothing else, and passes the socket; and it
 * removes PATH when ebb ends, for whatever reason. README.md has the reasons.
 *
 *     ebb ──── a number ────► dialer ──── connect(2) ────► PATH_N
 *      ◄──── the socket ────────┘
 *
 * Thread: start and stop on main; start before any other thread runs; the rest on one thread, the worker of the device.
 */
#ifndef EBB_VSOCK_DIALER_H
#define EBB_VSOCK_DIALER_H

#include <stdint.h>

#include "vmm/lib/child.h"
#include "vmm/lib/socket_file.h"

/* With "_" and ten digits behind it, it still is a socket's address. */
#define DIALER_PATH_MAX 96

struct dialer {
	struct child child; /* its control is readable: dialer_take() */
};

/*
 * Makes the socket @path, for this user alone, and starts the process. Returns the listening socket, non-blocking and the
 * caller's, or -errno after an error message, with nothing left behind.
 */
int dialer_start(struct dialer *dialer, const char *path);
/* Ends the process, which removes the path. Accepts a zeroed struct. */
void dialer_stop(struct dialer *dialer);

/* Asks for a connection to @port; @call comes back with the answer. Returns 0, or -errno; never waits. */
int dialer_ask(struct dialer *dialer, uint64_t call, uint32_t port);
/*
 * Takes the next answer: sets @call, and @fd to a connected, non-blocking socket, the caller's, or to -errno. Returns 0;
 * -EAGAIN if there is none yet; or -EPIPE if the process has ended.
 */
int dialer_take(struct dialer *dialer, uint64_t *call, int *fd);

/* Messages between dialer.c and process.c. */
struct dialer_question {
	uint64_t call;
	uint32_t port;
	uint32_t unused;
};
struct dialer_answer {
	uint64_t call;
	int32_t error; /* 0: a socket comes with it */
	uint32_t unused;
};

/* The process. @control is a descriptor. */
_Noreturn void dialer_run(const struct socket_file *file, int control);

#endif
