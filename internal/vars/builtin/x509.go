package builtin

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// x509CA makes a certificate authority.
type x509CA struct {
	CommonName string `json:"commonName"`
	Days       int    `json:"days"`
}

func (ca *x509CA) Make(m Material) (map[string][]byte, error) {
	template := certificate(ca.CommonName, ca.Days, m.Now)
	template.IsCA, template.MaxPathLenZero = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := m.signer()
	if err != nil {
		return nil, err
	}
	return signed(m, "ca", template, key, template, key)
}

// x509Leaf makes a certificate that the CA of another generator has signed.
type x509Leaf struct {
	CA         string   `json:"ca"`
	CommonName string   `json:"commonName"`
	DNSNames   []string `json:"dnsNames"`
	Days       int      `json:"days"`
}

func (leaf *x509Leaf) Make(m Material) (map[string][]byte, error) {
	names := leaf.DNSNames
	if len(names) == 0 {
		names = []string{leaf.CommonName}
	}
	for _, name := range names {
		// No client would find an address among the names.
		if _, err := netip.ParseAddr(name); err == nil {
			return nil, fmt.Errorf("%s is an address, and the certificate is for DNS names: name some in dnsNames", name)
		}
	}
	ca, err := tls.X509KeyPair(m.Inputs[leaf.CA]["ca.crt"], m.Inputs[leaf.CA]["ca.key"])
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s has no pair of ca.key and ca.crt: %w", leaf.CA, err)
	case !ca.Leaf.IsCA:
		return nil, fmt.Errorf("ca.crt of %s is the certificate of no CA", leaf.CA)
	case !m.Now.Before(ca.Leaf.NotAfter):
		return nil, fmt.Errorf("the CA of %s was valid until %s: name it in --regenerate too", leaf.CA, ca.Leaf.NotAfter.Format(time.DateOnly))
	}
	template := certificate(leaf.CommonName, leaf.Days, m.Now)
	template.DNSNames = names
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if ca.Leaf.NotAfter.Before(template.NotAfter) { // beyond its CA it is worth nothing
		template.NotAfter = ca.Leaf.NotAfter
	}
	key, err := m.signer()
	if err != nil {
		return nil, err
	}
	return signed(m, "tls", template, key, ca.Leaf, ca.PrivateKey)
}

// certificate is the part that a CA and a leaf have in common. It begins an hour
// ago, because the clocks of machines differ.
func certificate(commonName string, days int, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(0, 0, days),
		BasicConstraintsValid: true,
	}
}

// signer is the private key that is there, or a new one.
func (m Material) signer() (crypto.Signer, error) {
	if m.Source == nil {
		return ecdsa.GenerateKey(elliptic.P256(), m.Random)
	}
	if block, _ := pem.Decode(m.Source); block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			key, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil {
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		}
		if signer, ok := key.(crypto.Signer); err == nil && ok {
			return signer, nil
		}
	}
	return nil, errors.New("it is no private key in PEM, or one with a passphrase")
}

// signed gives the files NAME.key and NAME.crt of a key that a CA has signed.
func signed(m Material, name string, template *x509.Certificate, key crypto.Signer, ca *x509.Certificate, caKey crypto.PrivateKey) (map[string][]byte, error) {
	cert, err := x509.CreateCertificate(m.Random, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		name + ".key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		name + ".crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
	}, nil
}
