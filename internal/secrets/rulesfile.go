package secrets

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/getsops/sops/v3/config"
)

// The fields of a .sops.yaml that say who can read, as in sops' own reader,
// which reads only from a path, and resolves cloud keys over the network.

type rulesFile struct {
	CreationRules    []ruleFields `yaml:"creation_rules"`
	DestinationRules []struct {
		RecreationRule ruleFields `yaml:"recreation_rule"`
	} `yaml:"destination_rules"`
	Stores config.StoresConfig `yaml:"stores"`
}

// ruleFields is a rule. What is any is a list, or one text with commas.
type ruleFields struct {
	PathRegex     string        `yaml:"path_regex"`
	Age           any           `yaml:"age"`
	PGP           any           `yaml:"pgp"`
	KMS           any           `yaml:"kms"`
	GCPKMS        any           `yaml:"gcp_kms"`
	HCKMS         []string      `yaml:"hckms"`
	AzureKeyVault any           `yaml:"azure_keyvault"`
	VaultURI      any           `yaml:"hc_vault_transit_uri"`
	KeyGroups     []groupFields `yaml:"key_groups"`

	UnencryptedSuffix       string `yaml:"unencrypted_suffix"`
	EncryptedSuffix         string `yaml:"encrypted_suffix"`
	UnencryptedRegex        string `yaml:"unencrypted_regex"`
	EncryptedRegex          string `yaml:"encrypted_regex"`
	UnencryptedCommentRegex string `yaml:"unencrypted_comment_regex"`
	EncryptedCommentRegex   string `yaml:"encrypted_comment_regex"`
}

type groupFields struct {
	Merge []groupFields `yaml:"merge"`
	Age   []string      `yaml:"age"`
	PGP   []string      `yaml:"pgp"`
	KMS   []struct {
		Arn  string `yaml:"arn"`
		Role string `yaml:"role"`
	} `yaml:"kms"`
	GCPKMS []struct {
		ResourceID string `yaml:"resource_id"`
	} `yaml:"gcp_kms"`
	HCKMS []struct {
		KeyID string `yaml:"key_id"`
	} `yaml:"hckms"`
	AzureKeyVault []struct {
		VaultURL string `yaml:"vaultUrl"`
		Key      string `yaml:"key"`
		Version  string `yaml:"version"`
	} `yaml:"azure_keyvault"`
	Vault []string `yaml:"hc_vault"`
}

func (f *ruleFields) rule() Rule {
	rule := Rule{Pattern: f.PathRegex}
	if f.PathRegex != "" {
		if rule.fits, rule.err = regexp.Compile(f.PathRegex); rule.err != nil {
			return rule
		}
	}
	rule.Groups, rule.err = f.groups()
	if rule.err == nil {
		rule.err = f.check(rule)
	}
	return rule
}

// check finds what sops refuses beside what cannot be read.
func (f *ruleFields) check(rule Rule) error {
	partly := 0
	for _, setting := range []string{
		f.UnencryptedSuffix, f.EncryptedSuffix, f.UnencryptedRegex, f.EncryptedRegex, f.UnencryptedCommentRegex, f.EncryptedCommentRegex,
	} {
		if setting != "" {
			partly++
		}
	}
	if partly > 1 {
		return errors.New("it has more than one of encrypted_… and unencrypted_…")
	}
	for _, key := range rule.Recipients() {
		if _, err := parseRecipient(key); err != nil {
			return err
		}
	}
	return nil
}

func (f *ruleFields) groups() ([]RuleGroup, error) {
	if len(f.KeyGroups) > 0 {
		var groups []RuleGroup
		for _, fields := range f.KeyGroups {
			groups = append(groups, fields.group())
		}
		return groups, nil
	}
	group := RuleGroup{Other: f.HCKMS}
	var err error
	if group.Age, err = keyField("age", f.Age); err != nil {
		return nil, err
	}
	for _, kind := range []struct {
		name  string
		value any
		// spaces tells that sops takes spaces out of these keys.
		spaces bool
	}{
		{"pgp", f.PGP, true},
		{"kms", f.KMS, true},
		{"gcp_kms", f.GCPKMS, true},
		{"azure_keyvault", f.AzureKeyVault, false},
		{"hc_vault_transit_uri", f.VaultURI, false},
	} {
		keys, err := keyField(kind.name, kind.value)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if kind.spaces {
				key = strings.ReplaceAll(key, " ", "")
			}
			group.Other = append(group.Other, key)
		}
	}
	return []RuleGroup{group}, nil
}

// keyField reads a list of texts, or one text, each with commas between keys.
func keyField(name string, value any) (keys []string, err error) {
	switch value := value.(type) {
	case nil:
	case string:
		keys = splitKeys(value)
	case []any:
		for _, entry := range value {
			text, isText := entry.(string)
			if !isText {
				return nil, fmt.Errorf("%s holds something else than keys", name)
			}
			keys = append(keys, splitKeys(text)...)
		}
	default:
		return nil, fmt.Errorf("%s is neither a list of keys nor keys with commas between them", name)
	}
	return keys, nil
}

func splitKeys(text string) (keys []string) {
	for key := range strings.SplitSeq(text, ",") {
		if key = strings.TrimSpace(key); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func (f *groupFields) group() (group RuleGroup) {
	for _, merged := range f.Merge {
		more := merged.group()
		group.Age = append(group.Age, more.Age...)
		group.Other = append(group.Other, more.Other...)
	}
	for _, text := range f.Age {
		group.Age = append(group.Age, splitKeys(text)...)
	}
	for _, key := range f.PGP {
		group.Other = append(group.Other, strings.ReplaceAll(key, " ", ""))
	}
	for _, key := range f.KMS {
		if key.Role != "" {
			key.Arn += "+" + key.Role
		}
		group.Other = append(group.Other, key.Arn)
	}
	for _, key := range f.GCPKMS {
		group.Other = append(group.Other, strings.ReplaceAll(key.ResourceID, " ", ""))
	}
	for _, key := range f.HCKMS {
		group.Other = append(group.Other, key.KeyID)
	}
	for _, key := range f.AzureKeyVault {
		group.Other = append(group.Other, key.VaultURL+"/keys/"+key.Key+"/"+key.Version)
	}
	group.Other = append(group.Other, f.Vault...)
	return group
}
