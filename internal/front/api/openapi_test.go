package api

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"shoal"
)

var update = flag.Bool("update", false, "write docs/openapi.yaml anew")

const openAPIFile = "../../../docs/openapi.yaml"

// TestOpenAPI holds docs/openapi.yaml to the table of routes and to the types
// that go in and out: it is made of both.
func TestOpenAPI(t *testing.T) {
	want := describe(t)
	if *update {
		if err := os.WriteFile(openAPIFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(openAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.yaml is not what the routes say; go test ./internal/front/api -run OpenAPI -update writes it anew")
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := yaml.Unmarshal(got, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, methods := range doc.Paths {
		n += len(methods)
	}
	if n != len(routes()) || !strings.HasPrefix(doc.OpenAPI, "3.") {
		t.Errorf("it has %d operations, and there are %d routes", n, len(routes()))
	}
}

type m = map[string]any

// schemas collects what Go types look like as JSON.
type schemas struct {
	t     *testing.T
	named m
}

func ref(name string) m { return m{"$ref": "#/components/schemas/" + name} }

func (s *schemas) of(t reflect.Type) m {
	switch t {
	case reflect.TypeFor[time.Time]():
		return m{"type": "string", "format": "date-time"}
	case reflect.TypeFor[time.Duration]():
		return m{"type": "integer", "format": "int64", "description": "nanoseconds"}
	case reflect.TypeFor[shoal.Selector]():
		return m{"type": "string", "description": "a selector, such as role=web,dc!=lab, or all", "maxLength": shoal.MaxSelector}
	case reflect.TypeFor[shoal.Waves]():
		return m{"type": "string", "description": "waves as in docs/rollouts.md, such as canary=2 soak=10m, 10%, 100%", "maxLength": shoal.MaxWavesText}
	case reflect.TypeFor[shoal.Amount]():
		return m{"type": "string", "description": "a number of hosts, such as 2, or a share, such as 10%"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		return m{"type": "string"}
	case reflect.Bool:
		return m{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return m{"type": "integer", "format": "int64"}
	case reflect.Uint64:
		return m{"type": "integer", "format": "int64", "minimum": 0}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return m{"type": "string", "format": "byte"}
		}
		return m{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return m{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.object(t)
	}
	s.t.Fatalf("no schema for %v: say in schemas.of what it looks like", t)
	return nil
}

func (s *schemas) object(t reflect.Type) m {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if _, ok := s.named[name]; ok {
		return ref(name)
	}
	properties, required := m{}, []string{}
	s.named[name] = m{} // a type may hold itself
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" {
			s.t.Fatalf("%v.%s has no name in JSON", t, f.Name)
		}
		properties[tag] = s.of(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, tag)
		}
	}
	doc := m{"type": "object", "properties": properties}
	if len(required) > 0 {
		doc["required"] = required
	}
	s.named[name] = doc
	return ref(name)
}

var inBraces = regexp.MustCompile(`\{(\w+)\}`)

// describe makes the OpenAPI document of all routes.
func describe(t *testing.T) []byte {
	s := &schemas{t, m{}}
	paths := m{}
	for _, r := range routes() {
		methods, _ := paths[r.pattern].(m)
		if methods == nil {
			methods = m{}
			paths[r.pattern] = methods
		}
		methods[strings.ToLower(r.method)] = s.operation(r)
	}
	refusal := s.of(reflect.TypeFor[Refusal]())
	answers := m{}
	for _, k := range kinds() {
		answers[k.code] = m{"description": k.err.Error(), "content": m{"application/json": m{"schema": refusal}}}
	}
	doc := m{
		"openapi": "3.0.3",
		"info": m{
			"title": "shoal control plane", "version": "1",
			"description": "What the commands of shoal and its agents ask of a server, and all there is to ask. Every request needs a token " +
				"(Authorization: Bearer) or the certificate of a host; what neither allows is refused. Times are RFC 3339, durations nanoseconds, " +
				"sizes bytes. Made of the table of routes by go test ./internal/front/api -run OpenAPI -update.",
		},
		"paths": paths,
		"components": m{
			"schemas": s.named, "responses": answers,
			"securitySchemes": m{"token": m{"type": "http", "scheme": "bearer"}, "certificate": m{"type": "mutualTLS"}},
		},
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (s *schemas) operation(r route) m {
	op := m{"operationId": r.verb, "summary": r.about, "description": "Who may: " + r.mayText() + "."}
	params := []m{}
	for _, name := range inBraces.FindAllStringSubmatch(r.pattern, -1) {
		params = append(params, m{"name": name[1], "in": "path", "required": true, "schema": m{"type": "string"}})
	}
	for _, name := range r.query {
		p := m{"name": name, "in": "query", "schema": m{"type": "string"}}
		if name == "peer" {
			p = m{"name": name, "in": "query", "description": "where the content is served, HOST:PORT; repeat for more", "schema": m{"type": "array", "items": m{"type": "string"}}}
		}
		if name == "pending" {
			p["description"] = "true: a rollout follows, and no server takes a copy before its plan was told and its lead time is over"
		}
		params = append(params, p)
	}
	metafile := m{typeMetafile: m{"schema": m{"type": "string", "format": "binary", "maxLength": shoal.MaxMetafile}}}
	signature := m{"description": "minisign signature over shoal's statement, base64", "schema": m{"type": "string"}}
	switch r.in.(type) {
	case nil:
	case raw:
		op["requestBody"] = m{"required": true, "content": metafile}
		params = append(params, m{"name": headSignature, "in": "header", "description": signature["description"], "schema": signature["schema"]})
	default:
		op["requestBody"] = m{"required": true, "content": m{"application/json": m{"schema": s.of(reflect.TypeOf(r.in))}}}
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	answers := m{}
	switch r.out.(type) {
	case nil:
		answers["204"] = m{"description": "done"}
	case raw:
		answers["200"] = m{"description": "the metafile", "content": metafile, "headers": m{
			headSignature: signature,
			headSerial:    m{"description": "of the statement", "schema": m{"type": "integer"}},
			headTracker:   m{"description": "URL of a tracker of the fleet; one field each", "schema": m{"type": "string"}},
		}}
	default:
		answers["200"] = m{"description": "the answer", "content": m{"application/json": m{"schema": s.of(reflect.TypeOf(r.out))}}}
	}
	for _, k := range kinds() {
		answers[strconv.Itoa(k.status)] = m{"$ref": "#/components/responses/" + k.code}
	}
	op["responses"] = answers
	switch r.do {
	case shoal.ToServe:
		op["security"] = []m{{"certificate": []string{}}}
	case toEnroll, shoal.ToMeet:
		op["security"] = []m{{"token": []string{}}, {"certificate": []string{}}}
	default:
		op["security"] = []m{{"token": []string{}}}
	}
	return op
}

// mayText names the roles that the route lets through.
func (r route) mayText() string {
	var roles []string
	for _, role := range []shoal.Role{shoal.Viewer, shoal.Pusher, shoal.Approver, shoal.Operator, shoal.Admin, shoal.Agent, shoal.Joiner} {
		p := shoal.Principal{Name: "x", Role: role}
		text := string(role)
		if r.do != toEnroll && shoal.Allowed(p, r.do, "", "y") != nil && shoal.Allowed(p, r.do, "", "x") == nil {
			text += " (what it pushed)"
		}
		if r.may(p) == nil {
			roles = append(roles, text)
		}
	}
	return strings.Join(slices.Compact(roles), ", ")
}
