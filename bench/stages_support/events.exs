defmodule Stages.Order do
  @moduledoc "An event of eight fields."
  defstruct [:id, :customer, :total, :paid, :items, :note, :at, :version]
end

defmodule Stages.Events do
  @moduledoc "Events of every kind: the same for whoever sends them."

  def kinds, do: [:int, :map, :binary, :struct]

  def list(kind, first, n), do: for(i <- first..(first + n - 1), do: event(kind, i))

  defp event(:int, i), do: i
  defp event(:map, i), do: %{id: i, name: :ordered, total: 99}
  # beyond 64 bytes a binary is shared, not copied
  defp event(:binary, i), do: <<i::64, 0::8128>>

  defp event(:struct, i) do
    %Stages.Order{
      id: i,
      customer: {:customer, i},
      total: 99.5,
      paid: true,
      items: [1, 2, 3],
      note: "as last time",
      at: 1_700_000_000 + i,
      version: 1
    }
  end
end
