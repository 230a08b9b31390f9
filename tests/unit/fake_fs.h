/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system device, the guest's side of it, and two backends, of which the second takes the first one's place.
 */
#ifndef EBB_TEST_FAKE_FS_H
#define EBB_TEST_FAKE_FS_H

#include <linux/fuse.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio-fs/fs.h"
#include "tests/unit/fake_backend.h"
#include "tests/unit/fake_driver.h"
#include "vmm/lib/clock.h"

#define V1	 (1ULL << VIRTIO_F_VERSION_1)
#define PROTOCOL (1ULL << VHOST_USER_F_PROTOCOL_FEATURES)
#define ACK	 (1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK)
#define SIZE	 16
#define READ	 15 /* FUSE_READ */
/* Long enough for a thread of a busy machine; and for what is to run out. */
#define LIMIT_NS (60 * NS_PER_S)
#define SOON_NS	 (100 * NS_PER_MS)

extern struct fake_driver ff_guest;
extern struct fs ff;
extern struct fake_backend ff_backend, ff_second;
extern unsigned int ff_founds, ff_losts, ff_ends; /* what the device told the machine */
extern atomic_bool ff_killed;

/* The device has a backend, for which it waits at most @limit_ns. */
void ff_begin(uint64_t limit_ns);
/* None has come yet. */
void ff_setup_awaited(void);
void ff_teardown(void);

/* The driver begins. */
void ff_start(void);
/* Request @unique: a header, and room for an answer in two pieces. Returns the head of its chain. */
uint16_t ff_ask(unsigned int queue, uint32_t opcode, uint64_t unique);
/* Request 1, and then in its ring, by @way: 0: its head once more; 1 and 2: an index that jumps. */
#define FF_SPOILS 3
void ff_ask_and_spoil(int way);
struct fuse_out_header ff_answer_to(uint64_t unique);
/* The worker's loop until a chain of @queue is returned. */
struct vring_used_elem ff_wait_used(unsigned int queue);
/* Until backend @by has taken @n chains. */
void ff_wait_taken(const struct fake_backend *by, unsigned int n);
/* A backend rings after a chain has come back: until there were more than @before interrupts. */
void ff_wait_interrupt(unsigned int before);
bool ff_needs_reset(void);
/* The answer of @len bytes to request @unique is that there is no backend. */
void ff_refused(uint64_t unique, uint32_t len);
/* The first backend's process is gone, and the machine says so. */
void ff_kill_backend(void);

#endif
