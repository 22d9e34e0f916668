// A certified OpenID Provider on a free port of loopback. Its access tokens are opaque, but for the resource
// `https://orders.internal`, whose tokens are RFC 9068's. It prints the URL at which it listens.
//
// PORT: where, unless on a free port. ISSUER: its issuer URL, unless that at which it listens.
// CLIENT_JWKS: the key set of the client `service-jwt`, which authenticates by `private_key_jwt`.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const SCOPES = 'orders.read orders.write';

const client = (id, method, more) => ({
  client_id: id,
  token_endpoint_auth_method: method,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  scope: SCOPES,
  ...(method === 'private_key_jwt' ? {} : { client_secret: `not-a-secret-${id}` }),
  ...more,
});

const signingKey = () => ({
  ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }),
  kid: `test-${process.pid}`,
  alg: 'RS256',
  use: 'sig',
});

const server = createServer();
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(process.env.ISSUER ?? url, {
    clients: [
      client('caller', 'client_secret_basic'),
      client('service', 'client_secret_basic'),
      client('service-post', 'client_secret_post'),
      ...(process.env.CLIENT_JWKS
        ? [client('service-jwt', 'private_key_jwt', { jwks: JSON.parse(process.env.CLIENT_JWKS) })]
        : []),
    ],
    jwks: { keys: [signingKey()] },
    scopes: SCOPES.split(' '),
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: SCOPES,
          audience: resource,
          accessTokenTTL: 600,
          ...(resource === 'https://orders.internal'
            ? { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }
            : { accessTokenFormat: 'opaque' }),
        }),
      },
    },
    ttl: { ClientCredentials: 600 },
  });
  server.on('request', provider.callback());
  console.log(url);
});

// The test that started this ends it by closing its standard input, however it ends itself.
process.stdin.resume().on('end', () => process.exit(0));
