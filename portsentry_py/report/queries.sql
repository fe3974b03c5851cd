-- What the report asks of the rows. $width is a length of time in microseconds, $top a number of rows.
-- A scan is all `scan` and `trap` lines with one event_id; the last of its most severe lines stands for it.

-- name: period
CREATE VIEW period AS FROM lines WHERE us BETWEEN {since} AND {until};

-- name: scans
CREATE TABLE scans AS
WITH evidence AS (
    SELECT *, coalesce(event_id, src_ip || ' ' || coalesce(technique, '')) AS id,
        CASE verdict WHEN 'ban' THEN 3 WHEN 'watch' THEN 2 WHEN 'ignore' THEN 1 ELSE 0 END AS severity
    FROM period WHERE event_type IN ('scan', 'trap')
), last AS (
    SELECT id, min(us) AS us, max(us) AS last_us, least(min(first_us), min(us)) AS first_us,
        min(us) FILTER (severity = 3) AS ban_us, max(severity) AS severity,
        arg_max({
            src_ip: src_ip, verdict: verdict, verified: verified, event_type: event_type, scan_type: scan_type,
            technique: technique, direction: direction, dest_port: dest_port, proto: proto,
            ports: ports, ports_sample: ports_sample, tool: tool, src_net: src_net,
            src_known: src_known, src_country: src_country, src_asn: src_asn, reason: reason
        }, severity * 1000000000000000000 + us) AS line
    FROM evidence GROUP BY id
)
SELECT * EXCLUDE (line), unnest(line) FROM last;

-- name: reading
SELECT count(*) AS lines, count(*) FILTER (us IS NULL) AS unreadable,
    count(*) FILTER (us IS NOT NULL AND schema > $schema) AS newer
FROM lines;

-- name: totals
SELECT count(*) AS lines, min(us) AS first_us, max(us) AS last_us,
    count(*) FILTER (event_type = 'connection') AS connection_lines,
    count(*) FILTER (event_type = 'scan') AS scan_lines, count(*) FILTER (event_type = 'trap') AS trap_lines,
    count(*) FILTER (event_type = 'status') AS status_lines, count(*) FILTER (verdict = 'ban') AS ban_lines,
    coalesce(sum(suppressed), 0)::BIGINT AS connection_lines_suppressed,
    (SELECT count(*) FROM scans) AS scans, (SELECT count(DISTINCT src_ip) FROM scans) AS sources,
    (SELECT count(DISTINCT src_ip) FROM scans WHERE ban_us IS NOT NULL) AS sources_banned
FROM period;

-- name: sources
SELECT arg_max(src_ip, last_us) AS source, arg_max(verdict, severity * 1000000000000000000 + last_us) AS verdict,
    arg_max({technique: technique, scan_type: scan_type, reason: reason, tool: tool, ports: ports,
        ports_sample: ports_sample, verified: verified, direction: direction, src_net: src_net,
        src_known: src_known, src_country: src_country, src_asn: src_asn}, severity * 1000000000000000000 + last_us
    ) AS line,
    count(*) AS scans, min(first_us) AS first_us, max(last_us) AS last_us, min(ban_us) AS ban_us,
    count(*) OVER () AS total
FROM scans WHERE last_us >= $since_us AND (NOT $banned OR ban_us IS NOT NULL)
GROUP BY src_ip ORDER BY last_us DESC, source LIMIT $top;

-- name: groups
SELECT ({by})::VARCHAR AS name, count(*) AS scans, count(DISTINCT src_ip) AS sources,
    count(*) FILTER (ban_us IS NOT NULL) AS banned, count(*) OVER () AS total
FROM scans WHERE ({by}) IS NOT NULL GROUP BY 1 ORDER BY scans DESC, name LIMIT $top;

-- name: timeline
SELECT us // $width AS bucket, count(*) FILTER (kind = 'connection') AS connections,
    count(*) FILTER (kind = 'ban') AS ban, count(*) FILTER (kind = 'watch') AS watch,
    count(*) FILTER (kind NOT IN ('connection', 'ban', 'watch')) AS other
FROM (
    SELECT us, 'connection' AS kind FROM period WHERE event_type = 'connection'
    UNION ALL SELECT us, verdict FROM scans
) GROUP BY bucket ORDER BY bucket;

-- name: ports
CREATE TABLE ports AS
SELECT port, proto, min(us) AS first_us, count(*) FILTER (probed) AS lines, count(DISTINCT src_ip) AS sources
FROM (
    SELECT us, src_ip, dest_port AS port, proto, true AS probed
    FROM period WHERE dest_port > 0 AND direction = 'inbound'
    UNION ALL
    SELECT us, src_ip, unnest(ports_sample) AS port, proto, false FROM period
    WHERE direction = 'inbound' AND event_type IN ('scan', 'trap')
) WHERE port > 0 GROUP BY port, proto;

-- name: top_ports
SELECT port, proto, lines, sources, first_us, count(*) OVER () AS total
FROM ports WHERE first_us >= $since_us ORDER BY sources DESC, lines DESC, port, proto LIMIT $top;

-- name: heat
SELECT p.port, p.proto, l.us // $width AS bucket, count(*) AS lines
FROM (FROM ports ORDER BY sources DESC, lines DESC, port, proto LIMIT $top) AS p
JOIN period AS l ON l.dest_port = p.port AND l.proto = p.proto AND l.direction = 'inbound'
GROUP BY ALL ORDER BY ALL;

-- name: new_ports
SELECT first_us // $width AS bucket, count(*) AS ports FROM ports GROUP BY bucket ORDER BY bucket;

-- name: hours
SELECT us // 3600000000 AS hour, count(*) AS scans FROM scans GROUP BY hour ORDER BY hour;

-- name: delay
SELECT count(*) AS scans, coalesce(quantile_cont(ban_us - first_us, 0.5), 0)::BIGINT AS median_us,
    coalesce(quantile_cont(ban_us - first_us, 0.9), 0)::BIGINT AS ninth_us,
    coalesce(max(ban_us - first_us), 0)::BIGINT AS longest_us
FROM scans WHERE ban_us IS NOT NULL;

-- name: health
WITH status AS (
    SELECT *, sum((state = 'started')::INTEGER) OVER (ORDER BY us ROWS UNBOUNDED PRECEDING) AS run
    FROM period WHERE event_type = 'status'
), runs AS (
    SELECT {maxima} FROM status GROUP BY run
)
SELECT {sums} FROM runs;

-- name: last_status
SELECT us, state, reason, version FROM period WHERE event_type = 'status' ORDER BY us DESC LIMIT 1;

-- name: incidents
SELECT us, state, reason, count(*) OVER () AS total FROM period
WHERE event_type = 'status' AND state <> 'running' ORDER BY us DESC, state LIMIT $top;

-- name: bans
SELECT src_ip, src_net, first_us, ban_us FROM scans WHERE ban_us IS NOT NULL ORDER BY ban_us DESC LIMIT $top;

-- name: would_ban
WITH found AS (
    SELECT src_ip, src_net, coalesce(group_net, src_net) AS group_net, us, technique, reason, ports,
        unnest(list_filter([
            'aggressive',
            CASE WHEN verdict = 'ban' THEN 'normal' END,
            CASE WHEN verdict = 'ban' AND verified THEN 'strict' END,
            CASE WHEN verdict = 'ban' THEN
                CASE WHEN technique IN ('trap', 'sweep', 'slow') THEN technique ELSE 'scan' END END,
            CASE WHEN verdict = 'ban' AND technique = 'distributed' THEN 'network' END
        ], lambda mode: mode IS NOT NULL)) AS mode
    FROM period
    WHERE event_type IN ('scan', 'trap') AND verdict IN ('ban', 'watch') AND technique <> 'outbound'
        AND direction IS DISTINCT FROM 'outbound'
)
SELECT src_ip, src_net, group_net, mode, min(us) AS us,
    arg_min({technique: technique, reason: reason, ports: ports}, us) AS line
FROM found GROUP BY src_ip, src_net, group_net, mode ORDER BY us, src_ip LIMIT $top;
