package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// credentials are the keys to offer to a host, and the tale of them for the
// error in case that none is accepted.
type credentials struct {
	offers  []offer
	tried   []string
	skipped []string
	accepts []string
	agent   net.Conn // nil without an agent
	leave   func()   // the agent
	wait    func(waiting bool)
	waited  bool  // for a person, perhaps longer than the host has patience
	err     error // why the keys could not be gathered
}

// offer is one key or certificate, and what its owner calls it.
type offer struct {
	signer ssh.Signer
	tale   string
}

// collect gathers the keys: first those that the configuration names (from
// the agent where it has them), each after its certificates, then, unless
// IdentitiesOnly, the agent's others. This order spends the host's few attempts
// on the keys that were meant.
func (d *Dialer) collect(ctx context.Context, cfg Config, s settings, c *credentials) error {
	var identities []identity
	for i, path := range s.identityFiles {
		if slices.Contains(s.identityFiles[:i], path) {
			continue
		}
		id, err := readIdentity(path)
		if errors.Is(err, fs.ErrNotExist) && !slices.Contains(cfg.IdentityFiles, path) {
			continue // the configuration lists candidates
		}
		if err != nil {
			return fmt.Errorf("read the identity file: %w", err)
		}
		identities = append(identities, id)
	}
	held := c.askAgent(ctx, s.identityAgent)

	var named, others []offer
	for _, id := range identities {
		if id.certificate != nil { // an IdentityFile may be one
			continue
		}
		inAgent := slices.IndexFunc(held, func(k offer) bool { return sameKey(id.public, k.signer.PublicKey()) })
		switch {
		case inAgent >= 0:
			named = append(named, held[inAgent])
		case id.signer != nil:
			named = append(named, offer{id.signer, id.path})
		case id.locked != nil && id.public != nil && d.Ask != nil:
			named = append(named, offer{&lockedKey{public: id.public, unlock: func() (ssh.Signer, error) { return c.unlock(ctx, d, id) }}, id.path})
		default:
			c.skipped = append(c.skipped, id.path+" ("+id.reason+")")
		}
	}
	for _, k := range held {
		plain := k.signer.PublicKey()
		if cert := certificateOf(plain); cert != nil {
			plain = cert.Key
		}
		isNamed := slices.ContainsFunc(identities, func(id identity) bool { return sameKey(id.public, plain) })
		isOffered := slices.ContainsFunc(named, func(n offer) bool { return n.signer == k.signer })
		switch {
		case isOffered:
		case isNamed: // a certificate in the agent of a key that is named
			named = append([]offer{k}, named...)
		case !s.identitiesOnly:
			others = append(others, k)
		}
	}
	c.offers = append(c.certified(identities, s.certificateFiles, named, others), append(named, others...)...)
	return nil
}

// certified gives the keys for which there is a certificate, with it.
func (c *credentials) certified(identities []identity, files []string, named, others []offer) []offer {
	var offers []offer
	use := func(path string, cert *ssh.Certificate) {
		for _, o := range append(slices.Clone(named), others...) {
			if !sameKey(cert.Key, o.signer.PublicKey()) {
				continue
			}
			signer, err := ssh.NewCertSigner(cert, o.signer)
			if err == nil {
				offers = append(offers, offer{signer, describeUserCert(path, cert)})
				return
			}
		}
		c.skipped = append(c.skipped, path+" (there is no private key for it)")
	}
	for _, path := range files {
		cert, err := readCertificate(path)
		if err != nil {
			c.skipped = append(c.skipped, fmt.Sprintf("%s (%v)", path, err))
			continue
		}
		use(path, cert)
	}
	for _, id := range identities {
		if id.certificate != nil {
			use(id.path, id.certificate)
		} else if path := id.path + "-cert.pub"; !slices.Contains(files, path) { // where ssh-keygen puts it
			if cert, err := readCertificate(path); err == nil {
				use(path, cert)
			}
		}
	}
	return offers
}

// askAgent lists the agent's keys. An agent that does not answer is no error:
// the files may do.
func (c *credentials) askAgent(ctx context.Context, socket string) []offer {
	if socket == "" {
		return nil
	}
	conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		c.skipped = append(c.skipped, fmt.Sprintf("the agent's keys (%v)", err))
		return nil
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c.agent, c.leave = conn, func() {
		stop()
		conn.Close()
	}
	conn.SetDeadline(time.Now().Add(connectTimeout))
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		c.skipped = append(c.skipped, fmt.Sprintf("the agent's keys (%s: %v)", socket, err))
		return nil
	}
	var offers []offer
	for _, signer := range signers {
		offers = append(offers, offer{signer, "the agent's " + describe(signer.PublicKey())})
	}
	return offers
}

// methods has the handshake gather the keys when the host is ready for them, and
// try one after the other. It notes what the host accepts and what it was
// offered. A key that fails to sign is passed over.
func (c *credentials) methods(config *ssh.ClientConfig, gather func() error) {
	gathered := false
	config.AuthCallback = func(now *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
		if !gathered {
			gathered = true
			if c.err = gather(); c.err != nil {
				return nil, c.err
			}
		}
		c.accepts = slices.Clone(now.AllowedMethods)
		if len(c.tried) == len(c.offers) || !slices.Contains(now.AllowedMethods, "publickey") {
			return nil, nil // that was all
		}
		next := c.offers[len(c.tried)]
		if c.agent != nil {
			c.agent.SetDeadline(time.Now().Add(authTimeout))
		}
		c.tried = append(c.tried, next.tale)
		return ssh.PublicKeys(next.signer), nil
	}
}

func (c *credentials) close() {
	if c.agent != nil {
		c.leave()
	}
}

// unlock asks for the passphrase of a key that the host has accepted. The host
// and the agent wait meanwhile.
func (c *credentials) unlock(ctx context.Context, d *Dialer, id identity) (ssh.Signer, error) {
	c.waited = true
	c.wait(true)
	defer c.wait(false)
	signer, err := d.unlock(ctx, id)
	if err != nil {
		c.skipped = append(c.skipped, fmt.Sprintf("%s (%v)", id.path, err))
	}
	return signer, err
}

// describe names a key of the agent as its owner knows it.
func describe(key ssh.PublicKey) string {
	text := fingerprint(key)
	if cert := certificateOf(key); cert != nil {
		text = describeUserCert("certificate", cert)
	}
	if k, ok := key.(*agent.Key); ok && k.Comment != "" {
		text = k.Comment + " (" + text + ")"
	}
	return text
}
