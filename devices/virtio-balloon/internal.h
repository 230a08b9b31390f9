/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions shared between the balloon's files. One file serves each kind of queue. A work
 * function is called on the worker with the device's lock held; it is bounded, and returns as the
 * device's work(): 0, -EAGAIN if there may be more, -EPROTO if the driver broke the rules.
 */
#ifndef EBB_VIRTIO_BALLOON_INTERNAL_H
#define EBB_VIRTIO_BALLOON_INTERNAL_H

#include "devices/virtio-balloon/balloon.h"
#include "devices/virtio-balloon/queues.h"

/* balloon.c */
static inline struct balloon *balloon_of(struct virtio_device *dev)
{
	return (struct balloon *)((char *)dev - offsetof(struct balloon, dev));
}

/* Asks the worker to serve the queue for @role, if there is one. Any thread. */
void balloon_wake(struct balloon *balloon, enum balloon_role role);

/* Logs once that the host failed with @error, a -errno; 0: no failure. On the worker. */
void balloon_refused(struct balloon *balloon, int error);

/* config.c: the configuration space and the state in it. Functions of virtio_device_ops. */
void balloon_config_init(struct balloon *balloon, uint64_t target);
void balloon_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len);
void balloon_config_write(struct virtio_device *dev, size_t offset, const void *data, size_t len);
/* Records whether a driver uses the device. */
void balloon_config_driver(struct balloon *balloon, bool driver);
/* Returns whether the guest relies on free pages with other contents than zeros. On the worker. */
bool balloon_poisoned(struct balloon *balloon);

/* inflate.c */
int balloon_pages_work(struct balloon *balloon, struct virtq *q, bool inflate);
void balloon_pages_reset(struct balloon *balloon);

/* reporting.c */
int balloon_report_work(struct balloon *balloon, struct virtq *q);

/* stats_queue.c */
int balloon_stats_work(struct balloon *balloon, struct virtq *q);
void balloon_stats_reset(struct balloon *balloon);

/* reclaim.c */
int balloon_reclaim_work(struct balloon *balloon, struct virtq *q);
void balloon_reclaim_reset(struct balloon *balloon);
/* Returns whether a chain is one of this queue: an answer, and RAM for the next request. */
bool balloon_reclaim_fits(const struct balloon *balloon, const struct virtq_chain *chain);

/* save.c: functions of virtio_device_ops. */
bool balloon_settled(struct virtio_device *dev);
void balloon_save(struct virtio_device *dev, struct record *record);
int balloon_restore(struct virtio_device *dev, struct record_in *in);

#endif
