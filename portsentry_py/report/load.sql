-- Lines of the log as rows. A key that the line lacks, or that has another type, is NULL. A line that is not the
-- sensor's has no `us`: it is counted and otherwise unused. Times are microseconds since 1970.

-- name: table
CREATE TABLE lines (
    us BIGINT, event_type VARCHAR, verdict VARCHAR, src_ip VARCHAR, verified BOOLEAN, scan_type VARCHAR,
    technique VARCHAR, state VARCHAR, direction VARCHAR, dest_port INTEGER, proto VARCHAR,
    suppressed BIGINT, ports BIGINT, ports_sample INTEGER[], first_us BIGINT,
    tool VARCHAR, src_net VARCHAR, src_known VARCHAR, src_country VARCHAR, src_asn BIGINT,
    group_net VARCHAR, reason VARCHAR, event_id VARCHAR, version VARCHAR, packets_seen BIGINT, packets BIGINT,
    packets_dropped BIGINT, packets_missed BIGINT, packets_malformed BIGINT, packets_forged BIGINT,
    probes_unjudged BIGINT, lines_suppressed BIGINT, lines_lost BIGINT, sources_evicted BIGINT,
    flows_evicted BIGINT, restarts BIGINT, renewals BIGINT, schema BIGINT
);

-- name: moment
CREATE MACRO moment(text) AS
    CASE WHEN regexp_full_match(text, '\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z')
        THEN epoch_us(TRY_CAST(text AS TIMESTAMP)) END;

-- name: word
CREATE MACRO word(text) AS left(text, 64);

-- name: insert
INSERT INTO lines BY NAME
WITH raw AS (
    FROM read_json({path}, format = 'newline_delimited', compression = {compression}, ignore_errors = true,
        maximum_object_size = 65536, columns = {
            timestamp: 'VARCHAR', event_type: 'VARCHAR', verdict: 'VARCHAR', src_ip: 'VARCHAR',
            source_verified: 'VARCHAR', scan_type: 'VARCHAR', technique: 'VARCHAR', state: 'VARCHAR',
            direction: 'VARCHAR', dest_port: 'VARCHAR', proto: 'VARCHAR',
            suppressed: 'VARCHAR', ports: 'VARCHAR', ports_sample: 'VARCHAR',
            first_seen: 'VARCHAR', tool: 'VARCHAR', src_net: 'VARCHAR',
            src_known: 'VARCHAR', src_country: 'VARCHAR', src_asn: 'VARCHAR', group_net: 'VARCHAR',
            reason: 'VARCHAR', event_id: 'VARCHAR', version: 'VARCHAR', packets_seen: 'VARCHAR',
            packets: 'VARCHAR', packets_dropped: 'VARCHAR', packets_missed: 'VARCHAR',
            packets_malformed: 'VARCHAR', packets_forged: 'VARCHAR', probes_unjudged: 'VARCHAR',
            lines_suppressed: 'VARCHAR', lines_lost: 'VARCHAR', sources_evicted: 'VARCHAR',
            flows_evicted: 'VARCHAR', restarts: 'VARCHAR', renewals: 'VARCHAR', schema: 'VARCHAR'
        })
)
SELECT
    CASE WHEN regexp_full_match(event_type, '[a-z_]{1,32}') AND regexp_full_match(verdict, '[a-z_]{1,32}')
            AND (event_type = 'status' OR regexp_full_match(src_ip, '[0-9a-f.:]{2,45}'))
        THEN moment(timestamp) END AS us,
    word(event_type) AS event_type, word(verdict) AS verdict, word(src_ip) AS src_ip,
    source_verified = 'true' AND event_type <> 'connection' AS verified,
    CASE WHEN event_type <> 'connection' THEN word(scan_type) END AS scan_type,
    CASE WHEN event_type <> 'connection' THEN word(technique) END AS technique,
    word(state) AS state, word(direction) AS direction,
    CASE WHEN TRY_CAST(dest_port AS INTEGER) BETWEEN 0 AND 65535 THEN TRY_CAST(dest_port AS INTEGER) END AS dest_port,
    word(proto) AS proto, TRY_CAST(suppressed AS BIGINT) AS suppressed, TRY_CAST(ports AS BIGINT) AS ports,
    list_filter(TRY_CAST(ports_sample AS INTEGER[]), lambda port: port BETWEEN 0 AND 65535)[:16] AS ports_sample,
    moment(first_seen) AS first_us,
    word(tool) AS tool, word(src_net) AS src_net,
    word(src_known) AS src_known, word(src_country) AS src_country, TRY_CAST(src_asn AS BIGINT) AS src_asn,
    word(group_net) AS group_net, word(reason) AS reason, word(event_id) AS event_id, word(version) AS version,
    TRY_CAST(packets_seen AS BIGINT) AS packets_seen, TRY_CAST(packets AS BIGINT) AS packets,
    TRY_CAST(packets_dropped AS BIGINT) AS packets_dropped, TRY_CAST(packets_missed AS BIGINT) AS packets_missed,
    TRY_CAST(packets_malformed AS BIGINT) AS packets_malformed, TRY_CAST(packets_forged AS BIGINT) AS packets_forged,
    TRY_CAST(probes_unjudged AS BIGINT) AS probes_unjudged, TRY_CAST(lines_suppressed AS BIGINT) AS lines_suppressed,
    TRY_CAST(lines_lost AS BIGINT) AS lines_lost, TRY_CAST(sources_evicted AS BIGINT) AS sources_evicted,
    TRY_CAST(flows_evicted AS BIGINT) AS flows_evicted, TRY_CAST(restarts AS BIGINT) AS restarts,
    TRY_CAST(renewals AS BIGINT) AS renewals, TRY_CAST(schema AS BIGINT) AS schema
FROM raw;
