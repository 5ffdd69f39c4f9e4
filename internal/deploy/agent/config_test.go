package agent

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"shoal"
)

const fullConfig = `
root: /srv
host: web-1
datacenter: fra
labels: {role: web}
servers: [https://shoal.example:7443]
authority: sha256:00
up: 10gbit
limits: {up-wan: 200mbit}
keys: [RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3]
keep: 5
quota: 500GB
grace: 2h
apps:
  web:
    pre_activate: {command: [/etc/shoal/drain, web], timeout: 1m}
    health: {command: [/etc/shoal/check], timeout: 5s, retries: 0, interval: 1s, every: 1m}
  db: {}
`

func TestConfig(t *testing.T) {
	c, err := ParseConfig(strings.NewReader(fullConfig))
	must(t, err, c.Check())
	web := c.Apps["web"]
	if c.Up != 1_250_000_000 || c.Quota != 500e9 || c.Grace != Duration(2*time.Hour) || c.Keep != 5 || *web.Health.Retries != 0 ||
		web.Health.Timeout != Duration(5*time.Second) || !reflect.DeepEqual(web.PreActivate.Command, []string{"/etc/shoal/drain", "web"}) {
		t.Errorf("%+v", c)
	}
	if !c.allows("db") || c.allows("other") || !(&Config{}).allows("other") {
		t.Error("apps that are listed are allowed, or all if none is")
	}
	for text, want := range map[string]string{
		"rot: /srv":                      "there is no key `rot`",
		"root: /srv\n---\nroot: /other":  "more than one document",
		"grace: 3":                       "90s, 10m or 2h",
		"grace: -3s":                     "90s, 10m or 2h",
		"up: fast":                       "line 1",
		"quota: [1]":                     "line 1",
		strings.Repeat("# x\n", 1<<19):   "more than",
		"apps: {web: {healt: {}}}":       "there is no key `healt`",
		"apps: {web: {health: {tie: 1}}": "",
	} {
		if _, err := ParseConfig(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                              "host is missing",
		"host: a":                       "root is missing",
		"host: ../a":                    "letter or digit first",
		"root: /srv\nlabels: {dc: fra}": "the control plane says",
		"keep: -1":                      "keep is -1",
		"apps: {../x: {}}":              "letter or digit first",
		"apps: {web: {post_activate: {command: [reload]}}}": "absolute path",
		"apps: {web: {health: {retries: -1}}}":              "retries is negative",
	} {
		c, err := ParseConfig(strings.NewReader(text))
		must(t, err)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(fullConfig)
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseConfig(strings.NewReader(text)); err == nil {
			_ = c.Check() // must not panic
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	r := newRecord()
	r.Orders.Orders = []shoal.Order{order(1, 2, "2", "2")}
	r.app("web").Switch = &swap{From: "1", To: "2", Phase: probe}
	r.app("web").Failure = &failure{Version: "2"}
	b, err := json.Marshal(r)
	must(f, err)
	f.Add(b)
	f.Add([]byte(`{"format":1,"instance":"x","apps":{"web":{"switch":{"to":"../x","phase":"after"}}}}`))
	f.Add([]byte(`{"format":1,"instance":"x","orders":{"orders":[{"app":"web","stage":"../x"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		for _, a := range r.Apps {
			for _, v := range []string{a.Previous, a.HealthOf} {
				if v != "" && shoal.CheckVersion(v) != nil {
					t.Errorf("took %q for a version", v)
				}
			}
			if s := a.Switch; s != nil && (shoal.CheckVersion(s.To) != nil || s.From != "" && shoal.CheckVersion(s.From) != nil) {
				t.Errorf("took %q to %q for a switch", s.From, s.To)
			}
		}
		again, err := json.Marshal(r)
		must(t, err)
		if _, err := parseRecord(again); err != nil {
			t.Errorf("does not take what it wrote: %v", err)
		}
	})
}
