"""Half-hourly electricity demand of England and Wales: fetched, stored, forecast a day ahead, published."""
