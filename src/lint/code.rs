//! What lint can find. Codes and names are an API: policies name them, and they are never given to another meaning.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the policy may well be meant so.
    Note,
    /// Probably not what was meant, or safer otherwise.
    Warning,
    /// Certainly without the effect that it was written for.
    Error,
}

impl Severity {
    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $id:literal $name:literal $severity:ident $reason:literal $remedy:literal;)*) => {
        /// A kind of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "name, reason and remedy of each stand beside it")]
        pub enum Code { $($variant),* }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// `TG001`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id),* }
            }

            /// `unreachable-rule`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// How much it matters.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),* }
            }

            /// Why it matters.
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason),* }
            }

            /// What to do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),* }
            }
        }
    };
}

codes! {
    UnreachableRule "TG001" "unreachable-rule" Error
        "the rule has no effect: what it says of its requests does not count"
        "remove the rule, or make the others narrower";
    UnreachablePattern "TG002" "unreachable-pattern" Warning
        "the rule reads as if it answered there, and another one does"
        "remove the pattern, or make the other rule narrower";
    OverlappingTemplates "TG003" "overlapping-templates" Warning
        "templates are compared segment by segment from the left, and what is more exact further to the right does not count"
        "write a rule for what both match, or choose templates that do not meet";
    NeedlessFallback "TG004" "needless-fallback" Note
        "nothing competes with the rule by headers today, and a rule that does so one day would load without a question"
        "remove `fallback: true`";
    ListenerWithoutRules "TG005" "listener-without-rules" Note
        "whatever is asked there is refused, with the reason `no_rule`"
        "write rules for that direction, or remove the listener";
    AnonymousGap "TG101" "anonymous-gap" Warning
        "what a rule protects can be had without a token by asking a little differently, and many servers answer both alike"
        "make the anonymous rule narrower, or widen the other one: leave out its methods, or end its path in `/**`";
    NarrowDeny "TG102" "narrow-deny" Warning
        "many servers take a path with a slash at its end for the same resource"
        "end the path in `/**`, which covers itself and everything below";
    DenyByHeader "TG103" "deny-by-header" Warning
        "callers choose their headers, so they choose whether the rule is for them"
        "deny by host, path or method, or by `context_extensions`, which only you set";
    AnonymousByDefault "TG104" "anonymous-by-default" Warning
        "what no other rule speaks of is allowed without a token, where it would be refused: also what is added tomorrow"
        "name the paths that everybody may see, and let `no_rule` refuse the rest";
    WideAnonymous "TG105" "wide-anonymous" Note
        "without methods it allows writing as well as reading"
        "name the methods: `methods: [GET, HEAD]`";
    ContradictoryConditions "TG201" "contradictory-conditions" Error
        "no request can meet them, so everything is refused, or the rule answers nothing"
        "remove one of them; for one of several values write `in: [...]`";
    NeverGranted "TG202" "never-granted" Error
        "the requirement can never be met, so every request is refused"
        "say under the issuer's `claims` where to find it, or require something else";
    NoValue "TG203" "no-value" Warning
        "the header is never set; where it is `required`, every request is refused"
        "say under the issuer's `claims` where to find it, or leave the header out";
    AudienceUnchecked "TG204" "audience-unchecked" Warning
        "a token that was meant for any other service of the issuer is accepted: whoever gets one there can use it here"
        "write `audience: { any: [...] }` with the names by which the issuer knows this service";
    SimilarNames "TG205" "similar-names" Warning
        "names are compared to the letter: a slip refuses everybody, or lets in who holds the wrong one"
        "write both alike, or allow this where the two really differ";
    RedundantCaller "TG206" "redundant-caller" Note
        "it is accepted already by the wider one; whoever removes it one day may think that it is gone"
        "remove it, or the wider one";
    PlainHttp "TG301" "plain-http" Warning
        "whoever is on the way can replace keys, and so make tokens, or read credentials"
        "use `https:`, with `ca_file` for authorities of your own";
    NeedlessInsecureHttp "TG302" "needless-insecure-http" Warning
        "nothing that is written needs it, and it lets the provider's metadata lead to plain `http:`"
        "remove `allow_insecure_http`";
    UnusedIssuer "TG303" "unused-issuer" Warning
        "its keys are fetched and nobody's tokens are accepted for them; a rule may have been meant to name it"
        "name it in a rule's `issuers`, or remove it";
    UnusedToken "TG304" "unused-token" Warning
        "it is configured, and perhaps obtained, for nothing; a rule may have been meant to attach it"
        "name it in a rule's `upstream_token`, or remove it";
    UnusedRequirements "TG305" "unused-requirements" Warning
        "no rule requires what it says, although somebody thought that one does"
        "name it in a rule's `require`, or remove it";
    SlowRevocation "TG306" "slow-revocation" Warning
        "a token goes on for that long after it was revoked or its user logged out"
        "shorten it: the default is `30s`";
    LongLeeway "TG307" "long-leeway" Note
        "tokens are accepted for that long after they expired"
        "keep clocks in step, and the default of `30s`";
    StaleKeys "TG308" "stale-keys" Note
        "a key that the issuer withdrew is trusted for that long where the issuer cannot be reached"
        "shorten it: the default is `1h`";
    MatchesIdentityHeader "TG401" "matches-identity-header" Warning
        "rules are chosen before identity headers are removed: what is compared is what the caller sent, and anybody can send it"
        "compare a claim instead, under `require.claims`";
    PartlyInjected "TG402" "partly-injected" Note
        "the header is removed where it is not set, so that the service behind sees no value for these requests alone"
        "inject it here, too, if the service reads it there";
    CheckWithoutTls "TG501" "check-without-tls" Warning
        "tokens cross the network readable, and whoever reaches the port can ask what the policy allows"
        "listen on a unix socket or loopback, or give it `tls` with `client_ca`";
    OpenSocket "TG502" "open-socket" Warning
        "every user of the machine can ask there, claim to be any caller, and be handed tokens"
        "leave `mode` out, and run Envoy in the socket's group";
    TokenInEnvironment "TG503" "token-in-environment" Note
        "a variable is seen by child processes and in dumps, and stays as it is until a restart"
        "put it into a file, and name that as `token_file`";
    UnusedAllow "TG901" "unused-allow" Warning
        "what it was for is gone; the next finding there would be silenced without anybody having looked at it"
        "remove it";
    UnknownCode "TG902" "unknown-code" Warning
        "nothing is allowed by it"
        "`tollgate lint --list` shows every code";
    MalformedAllow "TG903" "malformed-allow" Warning
        "it allows nothing, or nobody can tell why"
        "write `# tollgate: allow(CODE) reason`, with several codes as `allow(CODE, CODE)`";
}

impl Code {
    /// Reads `TG001` or `unreachable-rule`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.id() == text || code.name() == text)
    }

    /// Whether it is about allowances themselves, which no comment can allow.
    pub(super) const fn is_about_allowances(self) -> bool {
        matches!(self, Self::UnusedAllow | Self::UnknownCode | Self::MalformedAllow)
    }
}
