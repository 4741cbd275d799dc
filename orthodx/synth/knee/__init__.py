"""All that the synthetic knee is made of: anatomy, lesions, protocols."""
