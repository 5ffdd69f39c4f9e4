package notify

import (
	"fmt"

	"shoal/internal/strictyaml"
)

// Bounds of a file of outlets.
const (
	MaxFile    = 1 << 20 // bytes
	maxOutlets = 100     // of each kind
)

// file is what operators write; docs/notices.md shows one.
type file struct {
	Webhooks []struct {
		URL    string
		Secret string
		Sites  []string
		Kinds  []string
	}
	Mails []struct {
		Server   string
		From     string
		To       []string
		User     string
		Password string
		Plain    bool
		Sites    []string
		Kinds    []string
	}
	Commands []struct {
		Run   []string
		Sites []string
		Kinds []string
	}
}

// Parse reads outlets as operators write them down, in YAML. Keys that it does
// not know are errors. What it returns New has still to check.
func Parse(data []byte) (Options, error) {
	if len(data) > MaxFile {
		return Options{}, fmt.Errorf("outlets of notices: %d bytes, more than %d", len(data), MaxFile)
	}
	var f file
	if err := strictyaml.Decode(data, &f); err != nil {
		return Options{}, fmt.Errorf("outlets of notices: %w", err)
	}
	if n := max(len(f.Webhooks), len(f.Mails), len(f.Commands)); n > maxOutlets {
		return Options{}, fmt.Errorf("outlets of notices: %d of one kind, more than %d", n, maxOutlets)
	}
	var o Options
	for _, w := range f.Webhooks {
		o.Webhooks = append(o.Webhooks, Webhook{URL: w.URL, Secret: w.Secret, Filter: Filter{w.Sites, w.Kinds}})
	}
	for _, m := range f.Mails {
		o.Mails = append(o.Mails, Mail{
			Server: m.Server, From: m.From, To: m.To, User: m.User, Password: m.Password, Plain: m.Plain, Filter: Filter{m.Sites, m.Kinds},
		})
	}
	for _, c := range f.Commands {
		o.Commands = append(o.Commands, Command{Args: c.Run, Filter: Filter{c.Sites, c.Kinds}})
	}
	return o, nil
}
