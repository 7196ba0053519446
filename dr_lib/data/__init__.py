"""Where photographs and labels enter: tables, JPEG repair, transforms, data sets, audit, generated photographs."""
