-- Every statement of this tier, by name. Each names its tenant; row security is behind it.

-- act_for --
-- From here to the end of the transaction: rows of these tenants only. Pages are read in an
-- index's order, without sorting: until a burst of new rows is in the statistics, the planner
-- takes a long conversation for a short one, and would read and sort all of it.
SELECT
    set_config('role', 'voicemesh_tenant', true),
    set_config('app.tenants', %(tenants)s::text[]::text, true),
    set_config('statement_timeout', %(timeout_ms)s::text, true),
    set_config('enable_sort', %(sorting)s, true)

-- open_conversations --
-- A conversation begins with the first fact that names it, in whatever order facts come.
-- Sorted, like hold_conversations: two writers never wait for each other in a circle.
INSERT INTO conversations (tenant_id, conversation_id, created_at)
SELECT * FROM unnest(
    %(tenant_id)s::text[], %(conversation_id)s::text[], %(occurred_at)s::timestamptz[]
) AS fact (tenant_id, conversation_id, occurred_at)
ORDER BY tenant_id, conversation_id
ON CONFLICT (tenant_id, conversation_id) DO NOTHING

-- hold_conversations --
-- Nobody deletes or writes these until we commit. Says which of them are deleted.
SELECT held.tenant_id, held.conversation_id, held.deleted_at IS NOT NULL AS deleted
FROM conversations AS held
JOIN unnest(%(tenant_id)s::text[], %(conversation_id)s::text[])
    AS fact (tenant_id, conversation_id) USING (tenant_id, conversation_id)
ORDER BY held.tenant_id, held.conversation_id
FOR NO KEY UPDATE OF held

-- add_records --
-- Facts may arrive twice after a restart; the second changes nothing. Says which are new.
INSERT INTO records (
    tenant_id, record_id, session_id, conversation_id, item_id, kind, occurred_at, record
)
SELECT * FROM unnest(
    %(tenant_id)s::text[], %(record_id)s::uuid[], %(session_id)s::text[],
    %(conversation_id)s::text[], %(item_id)s::text[], %(kind)s::text[],
    %(occurred_at)s::timestamptz[], %(record)s::bytea[]
)
ON CONFLICT (tenant_id, record_id) DO NOTHING
RETURNING tenant_id, record_id

-- start_conversation --
UPDATE conversations
SET created_at = least(created_at, %(created_at)s), metadata = metadata || %(metadata)s
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s

-- put_item --
-- A higher version replaces, for example when the caller heard only half of it. A deleted
-- item stays deleted. created_at stays: the item was added when it was first added.
INSERT INTO items (
    tenant_id, conversation_id, item_id, ordinal, type, role, status, text, tool_json,
    response_id, usage, version, created_at
) VALUES (
    %(tenant_id)s, %(conversation_id)s, %(item_id)s, %(ordinal)s, %(type)s, %(role)s,
    %(status)s, %(text)s, %(tool_json)s, %(response_id)s, %(usage)s, %(version)s,
    %(created_at)s
)
ON CONFLICT (tenant_id, conversation_id, item_id) DO UPDATE
SET ordinal = excluded.ordinal, type = excluded.type, role = excluded.role,
    status = excluded.status, text = excluded.text, tool_json = excluded.tool_json,
    response_id = excluded.response_id, usage = excluded.usage, version = excluded.version
WHERE items.version < excluded.version AND items.deleted_at IS NULL

-- note_items --
UPDATE conversations
SET last_item_at = greatest(conversations.last_item_at, latest.created_at)
FROM (
    SELECT tenant_id, conversation_id, max(created_at) AS created_at
    FROM unnest(
        %(tenant_id)s::text[], %(conversation_id)s::text[], %(created_at)s::timestamptz[]
    ) AS fact (tenant_id, conversation_id, created_at)
    GROUP BY tenant_id, conversation_id
) AS latest
WHERE conversations.tenant_id = latest.tenant_id
    AND conversations.conversation_id = latest.conversation_id

-- remove_item --
-- Makes the row if the item itself is still on its way, so that it finds itself deleted.
INSERT INTO items (
    tenant_id, conversation_id, item_id, ordinal, type, role, status, text, tool_json,
    response_id, version, created_at, deleted_at
) VALUES (
    %(tenant_id)s, %(conversation_id)s, %(item_id)s, 0, '', '', '', '', '',
    '', 0, %(occurred_at)s, %(occurred_at)s
)
ON CONFLICT (tenant_id, conversation_id, item_id) DO UPDATE
SET deleted_at = excluded.deleted_at, text = '', tool_json = ''
WHERE items.deleted_at IS NULL

-- deleted_items --
-- Which of these items are deleted.
SELECT items.tenant_id, items.conversation_id, items.item_id
FROM items
JOIN unnest(%(tenant_id)s::text[], %(conversation_id)s::text[], %(item_id)s::text[])
    AS fact (tenant_id, conversation_id, item_id) USING (tenant_id, conversation_id, item_id)
WHERE items.deleted_at IS NOT NULL

-- blank_records --
-- What a deleted item said is removed from its facts too. Their ids stay: they were stored.
UPDATE records SET record = NULL
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    AND item_id = %(item_id)s AND kind = 'item' AND record IS NOT NULL

-- add_response --
INSERT INTO responses (
    tenant_id, conversation_id, response_id, session_id, status, reason, item_ids, usage, done_at
) VALUES (
    %(tenant_id)s, %(conversation_id)s, %(response_id)s, %(session_id)s, %(status)s,
    %(reason)s, %(item_ids)s, %(usage)s, %(occurred_at)s
)
ON CONFLICT (tenant_id, conversation_id, response_id) DO NOTHING

-- add_event --
INSERT INTO session_events (
    tenant_id, record_id, session_id, conversation_id, type, data, occurred_at
) VALUES (
    %(tenant_id)s, %(record_id)s, %(session_id)s, %(conversation_id)s, %(type)s, %(data)s,
    %(occurred_at)s
)
ON CONFLICT (tenant_id, record_id) DO NOTHING

-- open_session --
-- A session that moved to another gateway may say so again; it was opened the first time.
INSERT INTO sessions (tenant_id, session_id, conversation_id, model, opened_at)
VALUES (%(tenant_id)s, %(session_id)s, %(conversation_id)s, %(model)s, %(occurred_at)s)
ON CONFLICT (tenant_id, session_id) DO UPDATE
SET model = excluded.model, opened_at = least(sessions.opened_at, excluded.opened_at)

-- close_session --
INSERT INTO sessions (tenant_id, session_id, conversation_id, closed_at, close_reason)
VALUES (%(tenant_id)s, %(session_id)s, %(conversation_id)s, %(occurred_at)s, %(reason)s)
ON CONFLICT (tenant_id, session_id) DO UPDATE
SET closed_at = excluded.closed_at, close_reason = excluded.close_reason
WHERE sessions.closed_at IS NULL OR sessions.closed_at < excluded.closed_at

-- get_conversation --
SELECT
    conversation_id, created_at, last_item_at, metadata,
    (
        SELECT count(*) FROM items
        WHERE items.tenant_id = conversations.tenant_id
            AND items.conversation_id = conversations.conversation_id
            AND items.deleted_at IS NULL
    ) AS item_count
FROM conversations
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    AND deleted_at IS NULL

-- find_conversation --
SELECT FROM conversations
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    AND deleted_at IS NULL

-- list_conversations --
-- Newest first, from before a position. Counts are taken for the rows of the page only.
SELECT
    page.*,
    (
        SELECT count(*) FROM items
        WHERE items.tenant_id = %(tenant_id)s
            AND items.conversation_id = page.conversation_id
            AND items.deleted_at IS NULL
    ) AS item_count
FROM (
    SELECT conversation_id, created_at, last_item_at, metadata
    FROM conversations
    WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL
        AND (created_at, conversation_id) < (%(before_at)s, %(before_id)s)
        AND (%(active_since)s::timestamptz IS NULL OR last_item_at >= %(active_since)s)
    ORDER BY created_at DESC, conversation_id DESC
    LIMIT %(limit)s
) AS page
ORDER BY created_at DESC, conversation_id DESC

-- list_items_descending --
SELECT
    item_id, conversation_id, ordinal, type, role, status, text, tool_json, response_id,
    usage, version, created_at
FROM items
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    AND deleted_at IS NULL
    AND (ordinal, item_id) < (%(ordinal)s, %(item_id)s)
ORDER BY ordinal DESC, item_id DESC
LIMIT %(limit)s

-- list_items_ascending --
SELECT
    item_id, conversation_id, ordinal, type, role, status, text, tool_json, response_id,
    usage, version, created_at
FROM items
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    AND deleted_at IS NULL
    AND (ordinal, item_id) > (%(ordinal)s, %(item_id)s)
ORDER BY ordinal, item_id
LIMIT %(limit)s

-- export_records --
-- Oldest first, from after a position.
SELECT occurred_at, record_id, record
FROM records
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    AND (occurred_at, record_id) > (%(occurred_at)s, %(record_id)s)
    AND record IS NOT NULL
ORDER BY occurred_at, record_id
LIMIT %(limit)s

-- bury_conversation --
-- Waits for whoever is writing the conversation; whoever comes after finds it deleted.
INSERT INTO conversations (tenant_id, conversation_id, created_at, deleted_at)
VALUES (%(tenant_id)s, %(conversation_id)s, now(), now())
ON CONFLICT (tenant_id, conversation_id) DO UPDATE
SET metadata = '{}', last_item_at = NULL, deleted_at = now()
WHERE conversations.deleted_at IS NULL

-- erase_conversation --
-- After bury_conversation and apart from it: a statement sees what was committed before it began.
WITH
    no_items AS (
        DELETE FROM items
        WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    ),
    no_responses AS (
        DELETE FROM responses
        WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    ),
    no_events AS (
        DELETE FROM session_events
        WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    ),
    no_sessions AS (
        DELETE FROM sessions
        WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
    )
DELETE FROM records
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(conversation_id)s
