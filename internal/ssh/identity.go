package ssh

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// identity is what an identity file has to give: a key, one that needs a
// passphrase, a certificate, or only a public half, which chooses a key of the
// agent.
type identity struct {
	path        string
	signer      ssh.Signer
	locked      []byte // the file of a key that needs a passphrase
	public      ssh.PublicKey
	certificate *ssh.Certificate
	reason      string // why there is no signer
}

func readIdentity(path string) (identity, error) {
	id := identity{path: path}
	content, err := os.ReadFile(path)
	if err != nil {
		return id, err
	}
	signer, err := ssh.ParsePrivateKey(content)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		id.signer, id.public = signer, signer.PublicKey()
		return id, nil
	case errors.As(err, &locked):
		id.public, id.locked = locked.PublicKey, content
		id.reason = "has a passphrase: run `ssh-add " + path + "`"
	case strings.Contains(err.Error(), "no key found"): // a public key that stands for one of the agent's
		id.public, _, _, _, _ = ssh.ParseAuthorizedKey(content)
		id.certificate = certificateOf(id.public)
		id.reason = "the agent does not have it: run `ssh-add " + strings.TrimSuffix(path, ".pub") + "`"
		if id.public == nil {
			id.reason = "is not a key"
		}
	default: // the error of a parser might quote the file: it is left out
		id.reason = "a kind of key that only the agent can use: run `ssh-add " + path + "`"
	}
	if id.public == nil {
		if half, err := os.ReadFile(path + ".pub"); err == nil {
			id.public, _, _, _, _ = ssh.ParseAuthorizedKey(half)
		}
	}
	return id, nil
}

// readCertificate reads a file of CertificateFile.
func readCertificate(path string) (*ssh.Certificate, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		var failure *os.PathError
		if errors.As(err, &failure) {
			err = failure.Err // the caller names the file
		}
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(content)
	if err != nil {
		return nil, errors.New("is not a certificate")
	}
	cert := certificateOf(key)
	if cert == nil || cert.CertType != ssh.UserCert {
		return nil, errors.New("is not the certificate of a user")
	}
	return cert, nil
}

// certificateOf is the certificate that a key is, also one of the agent's.
func certificateOf(key ssh.PublicKey) *ssh.Certificate {
	if held, ok := key.(*agent.Key); ok {
		key, _ = ssh.ParsePublicKey(held.Blob)
	}
	cert, _ := key.(*ssh.Certificate)
	return cert
}

func describeUserCert(name string, cert *ssh.Certificate) string {
	text := fmt.Sprintf("%s (id %q, for %s", name, cert.KeyId, strings.Join(cert.ValidPrincipals, ", "))
	if cert.ValidBefore != ssh.CertTimeInfinity {
		text += ", until " + time.Unix(int64(min(cert.ValidBefore, 1<<40)), 0).UTC().Format(time.RFC3339)
	}
	return text + ")"
}

func sameKey(a, b ssh.PublicKey) bool {
	return a != nil && b != nil && bytes.Equal(a.Marshal(), b.Marshal())
}

// lockedKey is a key whose passphrase is asked for when a host has accepted
// its public half.
type lockedKey struct {
	public ssh.PublicKey
	unlock func() (ssh.Signer, error)
}

func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

func (k *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

func (k *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := k.unlock()
	if err != nil {
		return nil, err
	}
	if s, ok := signer.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return s.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}

// keyFileLock is a key that is opened once for a run.
type keyFileLock struct {
	passphrase password
	signer     ssh.Signer // set by the first try that succeeds
}

// unlock opens a key with the passphrase that a person gives.
func (d *Dialer) unlock(ctx context.Context, id identity) (ssh.Signer, error) {
	d.mu.Lock()
	lock := d.locks[id.path]
	if lock == nil {
		if d.locks == nil {
			d.locks = map[string]*keyFileLock{}
		}
		lock = &keyFileLock{}
		d.locks[id.path] = lock
	}
	d.mu.Unlock()

	_, err := lock.passphrase.unlock(ctx, "passphrase of the key "+id.path, d.ask, func(text string) error {
		if lock.signer != nil { // deriving the key takes a good part of a second
			return nil
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(id.locked, []byte(text))
		switch {
		case errors.Is(err, x509.IncorrectPasswordError):
			return errWrongPassword
		case err != nil:
			return errors.New("a kind of key that only the agent can use") // the error might quote the file
		}
		lock.signer = signer
		return nil
	})
	return lock.signer, err
}
