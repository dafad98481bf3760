-- What the mesh keeps: conversations with their items, and the facts they were made from.
--
-- Every key begins with tenant_id: one tenant's rows lie together, and no query can use an
-- index without naming a tenant. Ids are the senders' own ("conv_…", "item_…"), compared as
-- bytes so that an update of the system's locales cannot spoil an index.
--
-- conversation_id '' means none: a session may have facts before it has a conversation.
--
-- Not partitioned yet. Partitions by week, for retention by detaching, can be added later
-- without touching a reader: no table references another and every statement names
-- tenant_id. A unique key must then hold the time of its partition. For records and
-- session_events that is inside record_id, a UUIDv7. For items it is created_at, which never
-- changes after the first write; put_item has to look it up first, and can: whoever writes
-- holds the conversation, so nobody adds the item in between. A migration renames a table,
-- attaches it as the first partition and goes on.

CREATE TABLE conversations (
    tenant_id text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    last_item_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}',
    -- A deleted conversation keeps this row, emptied: facts of it that come late are dropped.
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, conversation_id)
);
CREATE INDEX conversations_newest ON conversations (tenant_id, created_at, conversation_id)
    WHERE deleted_at IS NULL;

CREATE TABLE items (
    tenant_id text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    item_id text COLLATE "C" NOT NULL,
    ordinal bigint NOT NULL,
    type text NOT NULL,
    role text NOT NULL,
    status text NOT NULL,
    text text NOT NULL,
    tool_json text NOT NULL,
    response_id text NOT NULL,
    usage jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    -- A deleted item keeps this row, without its text: an older version of it may come late.
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, conversation_id, item_id)
);
CREATE INDEX items_in_order ON items (tenant_id, conversation_id, ordinal, item_id)
    WHERE deleted_at IS NULL;

CREATE TABLE responses (
    tenant_id text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    response_id text COLLATE "C" NOT NULL,
    session_id text NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    item_ids text[] NOT NULL,
    usage jsonb NOT NULL DEFAULT '{}',
    done_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, conversation_id, response_id)
);

CREATE TABLE sessions (
    tenant_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    model text NOT NULL DEFAULT '',
    opened_at timestamptz,
    closed_at timestamptz,
    close_reason text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, session_id)
);
CREATE INDEX sessions_by_conversation ON sessions (tenant_id, conversation_id);

CREATE TABLE session_events (
    tenant_id text COLLATE "C" NOT NULL,
    record_id uuid NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, record_id)
);
CREATE INDEX session_events_by_conversation ON session_events (tenant_id, conversation_id);

-- The facts as they came. Whether a record_id is here decides whether a fact is new.
CREATE TABLE records (
    tenant_id text COLLATE "C" NOT NULL,
    record_id uuid NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    item_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    occurred_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    -- ovos.persistence.v1.Record, serialized; null once its item was deleted.
    record bytea,
    PRIMARY KEY (tenant_id, record_id)
);
CREATE INDEX records_in_order ON records (tenant_id, conversation_id, occurred_at, record_id);
