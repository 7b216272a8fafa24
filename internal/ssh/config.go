package ssh

import (
	"cmp"
	"time"

	"github.com/crs58/fleet/internal/environ"
)

// Config says which host to reach and how. Only Target is needed, and Env for
// everything that OpenSSH takes from the environment.
type Config struct {
	Target Target

	// Addresses are further ways to the same host, tried after Target one by one:
	// each a moment after the one before, or when that fails. The first that
	// answers with a key of the host is used. They take the user of Target where
	// they have none.
	Addresses []Target
	// Name is what the host is called, in errors and where the address that
	// answered is remembered. Empty: the host of Target.
	Name string

	// Env is the environment (KEY=value): HOME, USER, PATH, SSH_AUTH_SOCK and
	// TMPDIR are read from it, and `ssh -G` runs in it.
	Env []string

	// File is an OpenSSH configuration used in place of the user's and the
	// system's, like ssh -F.
	File string

	// IdentityFiles are private keys to offer besides the configured ones, like ssh -i.
	IdentityFiles []string

	// HostKeys are the host's public keys as the fleet's vars know them, each a
	// line of authorized_keys. They are trusted beside what known_hosts says,
	// which may vouch for the key that the host still has before its next deploy.
	HostKeys []string
	// HostKeysFrom says in errors where HostKeys come from, such as a file's path.
	HostKeysFrom string

	// ConnectTimeout bounds the way to the host up to its checked host key.
	// Zero: as configured for OpenSSH, or else 10 seconds.
	ConnectTimeout time.Duration
	// SessionTimeout bounds the start of each command. Zero: 30 seconds.
	SessionTimeout time.Duration
	// KeepAlive is how often a silent host is asked whether it is there. Zero: 15 seconds.
	KeepAlive time.Duration
	// KeepAliveMax is how many unanswered questions close the connection. Zero: 4.
	KeepAliveMax int

	aliases []string // names of known_hosts that the host has besides that of Target
	through []string // jump hosts on whose behalf the host is reached
}

const (
	connectTimeout = 10 * time.Second
	// authTimeout is longer: a person may have to touch a security key.
	authTimeout = time.Minute
	// maxSessions stays below the 10 that sshd allows per connection, since a
	// session that we gave up may still count there.
	maxSessions = 8
)

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, c.Target.Host)
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 30*time.Second)
	c.KeepAlive = cmp.Or(c.KeepAlive, 15*time.Second)
	c.KeepAliveMax = cmp.Or(c.KeepAliveMax, 4)
	return c
}

// getenv is os.Getenv of the injected environment.
func (c Config) getenv(name string) string { return environ.Get(c.Env, name) }
