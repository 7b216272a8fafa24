package cli

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

func (a *App) varsSecretsCmd() *cobra.Command {
	cmd := parent("secrets", "Keep secrets that no generator makes",
		`Keep secrets that no generator makes, in the layout of clan: a file
sops/secrets/NAME/secret, with links to the users, machines and groups that read
it. No machine is evaluated for it.

vars keys add, remove and rotate, vars check and vars fix look after them too.`,
		"  fleet vars secrets set hetzner-token --machine cinnabar\n  fleet vars secrets list\n  fleet vars secrets get hetzner-token")
	cmd.GroupID = ""
	cmd.AddCommand(a.varsSecretsListCmd(), a.varsSecretsGetCmd(), a.varsSecretsSetCmd(), a.varsSecretsGrantCmd(), a.varsSecretsRevokeCmd(), a.varsSecretsRemoveCmd(), a.varsSecretsRenameCmd(), a.varsSecretsImportCmd())
	return cmd
}

func (a *App) varsSecretsListCmd() *cobra.Command {
	var bare bool
	cmd := &cobra.Command{
		Use:               "list [PATTERN]",
		Short:             "Show the secrets and who reads them",
		Long:              "Show the secrets that no generator makes, and the private keys of machines, which lie beside them; with a pattern those whose name contains it. READERS says whether it can be read by exactly those who are named. No key is needed for it.",
		Example:           "  fleet vars secrets list\n  fleet vars secrets list token --names",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			values, done, err := a.keys(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			rows, err := values.ListSecrets(cmd.Context())
			if err != nil {
				return err
			}
			return a.showSecrets(slices.DeleteFunc(rows, func(r vars.SecretRow) bool { return len(args) > 0 && !strings.Contains(r.Name, args[0]) }), bare)
		},
	}
	namesFlag(cmd, &bare)
	return cmd
}

func (a *App) showSecrets(rows []vars.SecretRow, bare bool) error {
	table := term.Table{Header: []string{"SECRET", "USERS", "MACHINES", "GROUPS", "READERS"}}
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
		list := func(names []string) string { return cmp.Or(strings.Join(names, " "), "–") }
		table.Add(r.Name, list(r.Users), list(r.Machines), list(r.Groups), r.Readers())
	}
	switch {
	case bare:
		return a.writeLines(names)
	case a.config.JSON:
		return a.writeJSON(rows)
	}
	return a.Streams.Table(&table)
}

func (a *App) varsSecretsGetCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:               "get NAME",
		Short:             "Print one secret, exactly its bytes",
		Long:              "Decrypt one secret with your key and print it, exactly its bytes; on a terminal only after you said so.",
		Example:           "  fleet vars secrets get hetzner-token > /dev/shm/token",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			values, done, err := a.keys(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			data, err := values.GetSecret(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := a.mayPrint(cmd.Context(), args[0], yes); err != nil {
				return err
			}
			if a.config.JSON {
				return a.writeJSON(newSecretValue(args[0], data))
			}
			_, err = a.Streams.Out.Write(data)
			return err
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "print it on a terminal without asking")
	return cmd
}

// secretValue is the JSON of one secret; Base64 holds what is no text.
type secretValue struct {
	Name   string  `json:"name"`
	Text   *string `json:"text,omitempty"`
	Base64 []byte  `json:"base64,omitempty"`
}

func newSecretValue(name string, data []byte) secretValue {
	if !utf8.Valid(data) {
		return secretValue{Name: name, Base64: data}
	}
	text := string(data)
	return secretValue{Name: name, Text: &text}
}

// completeSecrets offers the names of secrets.
func (a *App) completeSecrets(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var offers []string
	if len(args) > 0 || a.configure(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if values, done, err := a.keys(cmd.Context()); err == nil {
		defer done()
		rows, _ := values.ListSecrets(cmd.Context())
		for _, row := range rows {
			offers = append(offers, row.Name)
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
