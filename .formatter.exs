[
  inputs: ["{mix,.formatter}.exs", "native/*.exs", "{lib,test,bench,examples}/**/*.{ex,exs}"],
  line_length: 110
]
