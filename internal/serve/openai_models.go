package serve

import (
	"net/http"
	"time"
)

// model describes the loaded model to clients of OpenAI's form and of Anthropic's alike.
type model struct {
	ID          string `json:"id"`
	Object      string `json:"object"`
	Created     int64  `json:"created"`
	OwnedBy     string `json:"owned_by"`
	Type        string `json:"type"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
	Context     int    `json:"max_model_len"` // as vLLM has it
}

func (s *Server) model(id string) model {
	at := s.started
	return model{id, "model", at.Unix(), "baleen", "model", id, at.UTC().Format(time.RFC3339), s.options.Context}
}

// models answers GET /models. The array models is for Codex, which looks for it: an entry there would have to bring the
// agent's own instructions, so it has none, and Codex keeps to what it knows itself.
func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	id := s.options.Model
	writeJSON(w, http.StatusOK, struct {
		Object  string     `json:"object"`
		Data    []model    `json:"data"`
		Models  []struct{} `json:"models"`
		HasMore bool       `json:"has_more"`
		First   string     `json:"first_id"`
		Last    string     `json:"last_id"`
	}{"list", []model{s.model(id)}, []struct{}{}, false, id, id})
}

// modelByID answers GET /models/ID. Any name is one of the loaded model.
func (s *Server) modelByID(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, s.model(r.PathValue("id")))
}
