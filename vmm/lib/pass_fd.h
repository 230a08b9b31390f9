/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message over a Unix socket that descriptors may come with: between ebb and the small processes that
 * it is accompanied by.
 *
 * Thread: any. Source: unix(7), SCM_RIGHTS; cmsg(3).
 */
#ifndef EBB_LIB_PASS_FD_H
#define EBB_LIB_PASS_FD_H

#include <stddef.h>
#include <sys/types.h>

/* Sends the @len bytes at @note, with @fd unless that is negative; without SIGPIPE. Returns as sendmsg(2). */
ssize_t pass_fd_send(int socket, const void *note, size_t len, int fd);
/* The same, with -1 and EAGAIN instead of a wait. */
ssize_t pass_fd_send_now(int socket, const void *note, size_t len, int fd);

/*
 * Receives a message of up to @len bytes, and does not wait for one. Returns as recvmsg(2), with *@fd set
 * to the (first) descriptor that came, the caller's and closed on exec, or to -1.
 */
ssize_t pass_fd_receive(int socket, void *note, size_t len, int *fd);

/* The same with @fds descriptors, at most PASS_FDS_MAX; if fewer came, all of @fd are -1; of more, the others are closed. */
#define PASS_FDS_MAX 8
ssize_t pass_fds_send_now(int socket, const void *note, size_t len, const int *fd,
			  unsigned int fds);
ssize_t pass_fds_receive(int socket, void *note, size_t len, int *fd, unsigned int fds);

#endif
