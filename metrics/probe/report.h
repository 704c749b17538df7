/*
 * report: what a probe knows of itself: for people, as JSON, and as a page of metrics.
 *
 * The names of the page: berth_probe_target_up, _age_seconds, _duration_seconds, _bytes, _series,
 * _refused_series, _problem_lines (label url), berth_probe_pages, berth_probe_page_failures,
 * berth_probe_path_rtt_seconds (labels to, kind), berth_probe_samples, _batches, _batch_failures,
 * berth_probe_otlp_points, _otlp_rejected_points, berth_probe_followed_series. docs/probe.md has
 * them with their meaning.
 */
#pragma once

#include "base/str.h"
#include "metrics/probe/loop.h"

void report_text(const struct probe *probe, struct strbuf *out);
void report_json(const struct probe *probe, struct strbuf *out);
void report_metrics(const struct probe *probe, struct strbuf *out);
/* True when every target's last page counted and every path was answered. */
bool report_is_good(const struct probe *probe);
