/*
 * app_split: a document's workloads with `split: true` become their parts, before anybody else sees
 * the app.
 *
 * A service becomes one part per group of users that links to it or to a split caller of it, named
 * "<name>--<users>"; a data set one part per reader, named "<name>--<reader>". Links follow: users
 * to their own part, a part to the part of the same users; a link to a workload that is not split
 * gets one from each part. Calls are divided by the calls that reach the parts, so that sums stay
 * exact. What cannot be divided (a caller that is not split, no users, too many) is a problem of
 * the document. Parts stand where the workload stood. One thread.
 */
#pragma once

#include "model/app_read.h"

/* `marks` is parallel to the workloads. The app is whole before and after; with new problems it is
 * as it was. */
void app_split(struct reader *reader, struct app *app, const struct split_mark *marks);
