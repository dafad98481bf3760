-- The second wall between tenants; the first is the tenant in every statement.
--
-- This tier works as the role voicemesh_tenant and says in app.tenants whose rows the
-- transaction is about; it sees and writes no others, whatever a statement forgets. The
-- owner of the tables may look at all of them, for psql, and may change none: rows are
-- forced through the policies for it as well (a superuser is not).
--
-- A role belongs to the whole server: another database may have made it already, or be
-- making it now. On a server where we may not make roles, an administrator makes this one
-- (NOLOGIN) and grants it to the owner.

DO $$
DECLARE
    the_table text;
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'voicemesh_tenant') THEN
            CREATE ROLE voicemesh_tenant NOLOGIN NOINHERIT NOBYPASSRLS;
        END IF;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    IF EXISTS (
        SELECT FROM pg_roles
        WHERE rolname = 'voicemesh_tenant' AND (rolsuper OR rolbypassrls)
    ) THEN
        RAISE EXCEPTION 'role voicemesh_tenant passes by row security: take SUPERUSER and BYPASSRLS from it';
    END IF;
    BEGIN
        EXECUTE format('GRANT voicemesh_tenant TO %I', current_user);
    EXCEPTION
        WHEN insufficient_privilege THEN NULL; -- whoever made the role grants it
    END;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO voicemesh_tenant', current_schema());
    FOREACH the_table IN ARRAY ARRAY[
        'conversations', 'items', 'responses', 'sessions', 'session_events', 'records'
    ] LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO voicemesh_tenant', the_table);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', the_table);
        -- The sub-select is worked out once a statement, not once a row.
        EXECUTE format(
            'CREATE POLICY named_tenants ON %I TO voicemesh_tenant USING (tenant_id = ANY '
            '((SELECT nullif(current_setting(''app.tenants'', true), '''')::text[])::text[]))',
            the_table
        );
        EXECUTE format(
            'CREATE POLICY owner_may_look ON %I FOR SELECT TO CURRENT_USER USING (true)', the_table
        );
    END LOOP;
END
$$;
