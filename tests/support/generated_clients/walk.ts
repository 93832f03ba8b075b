// One call of each kind with the client that openapi-ts made as `auth-client`; prints what came of them.

import {
    checkPermission,
    checkPermissions,
    introspectToken,
    issueServiceToken,
    listRoles,
    listUsers,
    logIn,
    logOut,
    revokeToken,
} from './auth-client';
import { createClient } from './auth-client/client';

declare const process: { env: Record<string, string>; exitCode?: number };

const { BASE: baseUrl, USER_ID: user_id, LOGIN: login, PASSWORD: password, CLIENT_ID, CLIENT_SECRET } = process.env;
const anybody = createClient({ baseUrl });
// The document also has cookies, which a browser sends by itself.
const bearer = (token: string) =>
    createClient({ baseUrl, auth: (auth) => (auth.scheme === 'bearer' ? token : undefined) });

async function walk() {
    const { data: tokens } = await logIn({ client: anybody, body: { login, password }, throwOnError: true });
    if (!('access_token' in tokens)) throw new Error('a second factor, or cookies');
    const admin = bearer(tokens.access_token);

    const { data: granted } = await issueServiceToken({
        client: anybody,
        body: { grant_type: 'client_credentials', client_id: CLIENT_ID, client_secret: CLIENT_SECRET },
        throwOnError: true,
    });
    const service = bearer(granted.access_token);

    const body = { permission: 'films:read', user_id };
    const { data: check } = await checkPermission({ client: service, body, throwOnError: true });

    const checks = ['films:read', 'users:delete', 'unheard:of'].map((permission) => ({ permission, user_id }));
    const { data: batch } = await checkPermissions({ client: service, body: { checks }, throwOnError: true });

    const { data: roles } = await listRoles({ client: admin, throwOnError: true });

    let pages = 0;
    let cursor: string | null | undefined;
    const found = new Set<string>();
    while (pages === 0 || cursor) {
        const query = { role: 'moderator', limit: 2, ...(cursor ? { cursor } : {}) };
        const { data: page } = await listUsers({ client: admin, query, throwOnError: true });
        page.items.forEach((user) => found.add(user.login));
        pages += 1;
        cursor = page.next_cursor;
    }

    const refused = await logIn({ client: anybody, body: { login, password: 'a wrong password' } });
    const forbidden = await checkPermission({ client: service, body: { permission: 'films:read' } });

    const about = { token: tokens.refresh_token };
    const { data: live } = await introspectToken({ client: service, body: about, throwOnError: true });
    const left = await logOut({ client: admin, throwOnError: true });
    await revokeToken({ client: anybody, body: about, throwOnError: true });
    const { data: dead } = await introspectToken({ client: service, body: about, throwOnError: true });

    console.log(
        JSON.stringify({
            scope: granted.scope,
            allowed: check.allowed,
            batch: batch.results.map((answer) => answer.reason),
            roles: roles.some((role) => role.name === 'moderator'),
            pages,
            moderators: found.size,
            refused: refused.error?.error,
            forbidden: [forbidden.response?.status, forbidden.error?.error],
            live: [live.active, live.token_type],
            left: left.response.status,
            dead,
        }),
    );
}

walk().catch((problem) => {
    console.error(problem);
    process.exitCode = 1;
});
