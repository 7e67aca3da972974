"""Google's Gemini API, `generateContent`: translations from and to chat completions."""
